/*
 * What the book of verified addresses says, as time goes by (verify(8)).
 */
#include "lookup/verify_book.h"

#include "lib/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1700000000, HOUR = 3600, DAY = 86400 };

static const struct verify_rules defaults = {
    .positive_expire_s = 31 * DAY,
    .positive_refresh_s = 7 * DAY,
    .negative_expire_s = 3 * DAY,
    .negative_refresh_s = 3 * HOUR,
    .keeps_negative = true,
};

static const struct slice key = { "a@b.test", sizeof("a@b.test") - 1 };

/*
 * Steps: "ask" with what is answered ("CODE PROBE TEXT"), "look" the same
 * without a probe of ours, "found CODE" and "lost". at: seconds since NOW.
 */
struct step {
    int64_t at;
    const char *what, *want;
};

#define PENDING_SENT "3 1 Address verification in progress"
#define PENDING      "3 0 Address verification in progress"

static const struct {
    const char *name;
    bool forgets_negative;
    struct step steps[12];
} cases[] = {
    { "one probe at a time", false,
        { { 0, "look", PENDING }, { 0, "ask", PENDING_SENT },
            { 1, "ask", PENDING }, { 1000, "ask", PENDING },
            { 1001, "ask", PENDING_SENT } } },
    { "deliverable", false,
        { { 0, "ask", PENDING_SENT }, { 1, "found 0", NULL },
            { 2, "ask", "0 0 said 0" }, { 7 * DAY + 1, "ask", "0 0 said 0" },
            { 7 * DAY + 2, "look", "0 0 said 0" },
            { 7 * DAY + 2, "ask", "0 1 said 0" },
            { 7 * DAY + 3, "ask", "0 0 said 0" },
            { 7 * DAY + 1002, "ask", "0 0 said 0" },
            { 7 * DAY + 1003, "ask", "0 1 said 0" } } },
    { "a success expires", false,
        { { 0, "found 0", NULL }, { 31 * DAY - 1, "look", "0 0 said 0" },
            { 31 * DAY, "look", PENDING },
            { 31 * DAY, "ask", PENDING_SENT } } },
    { "but not while it is probed", false,
        { { 0, "found 0", NULL }, { 31 * DAY - 1, "ask", "0 1 said 0" },
            { 31 * DAY + 999, "ask", "0 0 said 0" },
            { 31 * DAY + 1000, "ask", PENDING_SENT } } },
    { "a failure does not replace a success", false,
        { { 0, "found 0", NULL }, { 8 * DAY, "ask", "0 1 said 0" },
            { 8 * DAY + 1, "found 2", NULL },
            { 8 * DAY + 2, "ask", "0 0 said 0" },
            { 8 * DAY + 1001, "ask", "0 1 said 0" },
            { 31 * DAY, "look", PENDING }, { 31 * DAY, "ask", PENDING_SENT },
            { 31 * DAY + 1, "found 2", NULL },
            { 31 * DAY + 2, "ask", "2 0 said 2" } } },
    { "nor once that has expired", false,
        { { 0, "found 0", NULL }, { 31 * DAY - 1, "ask", "0 1 said 0" },
            { 31 * DAY, "found 2", NULL },
            { 31 * DAY, "ask", "2 0 said 2" } } },
    { "a success replaces a failure", false,
        { { 0, "found 2", NULL }, { 1, "ask", "2 0 said 2" },
            { 3 * HOUR + 1, "ask", "2 1 said 2" },
            { 3 * HOUR + 2, "found 0", NULL },
            { 3 * HOUR + 3, "ask", "0 0 said 0" } } },
    { "a failure by another", false,
        { { 0, "found 2", NULL }, { 9, "found 1", NULL },
            { 9, "ask", "1 0 said 1" }, { 3 * DAY + 8, "look", "1 0 said 1" },
            { 3 * DAY + 9, "look", PENDING } } },
    { "failures are not kept", true,
        { { 0, "ask", PENDING_SENT }, { 1, "ask", PENDING },
            { 2, "found 2", NULL }, { 2, "ask", PENDING_SENT },
            { 3, "found 0", NULL }, { 3, "ask", "0 0 said 0" },
            { 4, "found 1", NULL }, { 4, "ask", "0 0 said 0" } } },
    { "lost", false,
        { { 0, "ask", PENDING_SENT }, { 0, "lost", NULL },
            { 1, "ask", PENDING_SENT }, { 2, "found 0", NULL },
            { 8 * DAY, "ask", "0 1 said 0" }, { 8 * DAY, "lost", NULL },
            { 8 * DAY, "ask", "0 1 said 0" } } },
};

static void
run(struct book *b, const struct verify_rules *rules, const struct step *s)
{
    struct verify_answer a;
    char got[128], said[16];

    if (strcmp(s->what, "lost") == 0) {
        verify_book_lost(b, rules, key, NOW + s->at);
    } else if (strncmp(s->what, "found", 5) == 0) {
        struct verify_result r = { .verified = (uint32_t)(s->what[6] - '0') };

        (void)snprintf(said, sizeof(said), "said %u", r.verified);
        r.text = slice_of(said);
        verify_book_found(b, rules, key, &r, NOW + s->at);
    } else {
        verify_book_ask(b, rules, key, strcmp(s->what, "ask") == 0, NOW + s->at,
            &a);
        (void)snprintf(got, sizeof(got), "%u %u " SLICE_FMT, a.verified,
            a.probe_due, SLICE_ARG(a.text));
        if (strcmp(got, s->want) != 0)
            fail_msg("at %lld %s: \"%s\", not \"%s\"", (long long)s->at,
                s->what, got, s->want);
    }
}

static void
test_book(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct verify_rules rules = defaults;
        struct book b;

        print_message("  %s\n", cases[i].name);
        rules.keeps_negative = !cases[i].forgets_negative;
        book_init(&b, 10, false);
        for (const struct step *s = cases[i].steps; s->what != NULL; s++)
            run(&b, &rules, s);
        book_fini(&b);
    }
}

/* As Postfix writes it, so that its tools read it. */
static void
test_record(void **state)
{
    struct verify_result r = { .verified = VERIFIED_BOUNCED,
        .text = SLICE_LIT("host said: 550 a:b\001c") };
    struct verify_answer a;
    struct slice value;
    struct book b;

    (void)state;
    book_init(&b, 10, false);
    verify_book_found(&b, &defaults, key, &r, NOW);
    assert_true(book_find(&b, key, NOW, &value));
    assert_true(slice_eq_text(value, "2:0:1700000000:host said: 550 a:b?c"));
    verify_book_ask(&b, &defaults, key, true, NOW + 4 * HOUR, &a);
    assert_true(book_find(&b, key, NOW, &value));
    assert_true(
        slice_eq_text(value, "2:1700014400:1700000000:host said: 550 a:b?c"));
    book_fini(&b);
}

/* The file may hold what another wrote. */
static void
test_nonsense(void **state)
{
    static const char *const values[] = { "", "0", "0:", "0:0",
        "0:0:1700000000", "4:0:1700000000:x", "-1:0:1700000000:x",
        "0:x:1700000000:x", "0:0:99999999999999999999:x",
        "0:0:9223372036854775807:x", ":::" };

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct verify_answer a;
        struct book b;

        book_init(&b, 10, false);
        book_keep(&b, key, slice_of(values[i]), NOW + DAY, NOW);
        verify_book_ask(&b, &defaults, key, true, NOW, &a);
        assert_int_equal(a.verified, VERIFIED_PENDING);
        assert_int_equal(a.probe_due, 1);
        book_fini(&b);
    }
}

/* The file does not keep up, so that nothing more goes into the book. */
static void
test_no_room(void **state)
{
    struct verify_answer a;
    struct book b;
    char other[16];

    (void)state;
    book_init(&b, 10, true);
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(other, sizeof(other), "%u@b.test", i);
        verify_book_ask(&b, &defaults, slice_of(other), true, NOW, &a);
    }
    verify_book_ask(&b, &defaults, key, true, NOW, &a);
    assert_int_equal(a.verified, VERIFIED_PENDING);
    assert_int_equal(a.probe_due, 0);
    assert_true(slice_eq_text(a.text, "Address verification in progress"));
    book_fini(&b);
}

static void
test_key(void **state)
{
    char *octets = mem_alloc(2000);
    struct buf b;

    (void)state;
    memset(octets, 'x', 2000);
    buf_init(&b, 1024);
    assert_true(slice_eq_text(verify_key(slice_of("Ann@Site.Test"), &b),
        "ann@site.test"));
    assert_int_equal(verify_key((struct slice){ octets, 2000 }, &b).len, 0);
    buf_fini(&b);
    mem_free(octets);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_book),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_nonsense),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_key),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
