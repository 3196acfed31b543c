/*
 * postqueue: its command line, and the table of ages in qshape(1)'s layout.
 */
#include "cmd/postqueue/shape.h"

#include "cmd/postqueue/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t minute = 60 * 1000 * 1000;
static const int64_t now = (int64_t)1700000000 * 1000000;

static const struct shape_options usual = {
    .buckets = SHAPE_BUCKETS,
    .tick = SHAPE_TICK,
    .width = SHAPE_WIDTH,
    .subdomains = SHAPE_SUBDOMAINS,
};

static void
add(struct shape *s, const char *sender, const char *recipient, int64_t age)
{
    struct queue_recipient r = { slice_of(recipient), { "", 0 } };
    const struct queue_item item = {
        .sender = slice_of(sender),
        .arrival_us = now - age,
        .recipients = &r,
        .recipient_count = 1,
    };

    shape_add(s, &item);
}

static char *
printed(const struct shape *s)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);

    assert_non_null(to);
    shape_print(s, to);
    (void)fclose(to);
    return text;
}

static void
expect(struct shape *s, const char *want)
{
    char *text = printed(s);

    assert_string_equal(text, want);
    free(text);
    shape_fini(s);
}

/* Bucket limits: "below 5" takes what is younger, 5 itself is in the next. */
static void
test_layout(void **state)
{
    static const int ages[] = { -3, 0, 4, 5, 9, 10, 1279, 1280, 99999 };
    struct shape s;

    (void)state;
    shape_init(&s, &usual, now);
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++)
        add(&s, "s@x", "a@Example.ORG", ages[i] * minute);
    for (int i = 0; i < 200; i++)
        add(&s, "s@x", "a@.b..example.net.", 20 * minute);
    add(&s, "s@x", "root", 0);
    add(&s, "s@x",
        "a@a-domain-name-that-is-longer-than-the-column-that-is-left.example",
        0);
    expect(&s,
        "                                        T  5 10 20  40 80 160 320 640 1280 1280+\n"
        "                                TOTAL 211  5  2  1 200  0   0   0   0    1     2\n"
        "                        b.example.net 200  0  0  0 200  0   0   0   0    0     0\n"
        "                          example.org   9  3  2  1   0  0   0   0   0    1     2\n"
        "                                 root   1  1  0  0   0  0   0   0   0    0     0\n"
        "+than-the-column-that-is-left.example   1  1  0  0   0  0   0   0   0    0     0\n");
}

static void
test_senders_linear(void **state)
{
    struct shape_options o = usual;
    struct shape s;

    (void)state;
    o.senders = o.linear = true;
    o.buckets = 3;
    o.tick = 10;
    shape_init(&s, &o, now);
    add(&s, "", "a@x", 5 * minute);
    add(&s, "b@Y.example", "a@x", 10 * minute);
    add(&s, "c@y.example", "a@x", 29 * minute);
    add(&s, "c@y.example", "a@x", 30 * minute);
    expect(&s,
        "                                                                     T 10 20 20+\n"
        "                                                              TOTAL  4  1  1   2\n"
        "                                                          y.example  3  0  1   2\n"
        "                                                      MAILER-DAEMON  1  1  0   0\n");
}

static void
test_parents(void **state)
{
    struct shape_options o = usual;
    struct shape s;
    char *text, name[64];

    (void)state;
    o.parents = true;
    o.json = true;
    shape_init(&s, &o, now);
    for (int i = 0; i < 5; i++) {
        (void)snprintf(name, sizeof(name), "a@h%d.big.example", i);
        add(&s, "s", name, 0);
        add(&s, "s", name, 0);
    }
    add(&s, "s", "a@h.small.example", 0);
    add(&s, "s", "a@example", 0);
    text = printed(&s);
    assert_non_null(
        strstr(text, "{\"domain\": \".big.example\", \"total\": 10, "));
    assert_non_null(strstr(text, "\"domain\": \"h.small.example\""));
    assert_null(strstr(text, "\"domain\": \".small"));
    assert_null(strstr(text, "\"domain\": \".example\""));
    assert_ptr_equal(strstr(text,
                         "{\"domain\": \"TOTAL\", \"total\": 12, \"ages\": "
                         "{\"5\": 12, \"10\": 0, "),
        text);
    assert_non_null(strstr(text, "\"1280\": 0, \"1280+\": 0}}\n"));
    free(text);
    shape_fini(&s);
}

static void
test_top(void **state)
{
    struct shape_options o = usual;
    struct shape s;
    char *text;

    (void)state;
    o.top = 2;
    shape_init(&s, &o, now);
    add(&s, "s", "a@once.example", 0);
    add(&s, "s", "a@twice.example", 0);
    add(&s, "s", "a@twice.example", 0);
    text = printed(&s);
    assert_non_null(strstr(text, "twice.example"));
    assert_null(strstr(text, "once.example"));
    free(text);
    shape_fini(&s);
}

/* The command line */

enum { WORDS_MAX = 24 };

static enum result
parse(const char *line, struct options *o, char copy[256])
{
    char *words[WORDS_MAX] = { (char *)(uintptr_t) "postqueue" };
    struct why why;
    int n = 1;

    (void)snprintf(copy, 256, "%s", line);
    for (char *w = strtok(copy, " "); w != NULL; w = strtok(NULL, " "))
        words[n++] = w;
    return options_parse(n, words, now, o, &why);
}

static const struct {
    const char *line;
    enum postqueue_mode mode; /* MODE_NONE: refused */
} lines[] = {
    { "", MODE_NONE },
    { "-p", MODE_LIST },
    { "-j", MODE_JSON },
    { "-c dir -p", MODE_LIST },
    { "-p -j", MODE_NONE },
    { "-p -f", MODE_NONE },
    { "-p deferred", MODE_NONE },
    { "-f", MODE_FLUSH },
    { "-i ABC", MODE_FLUSH_ID },
    { "-s site", MODE_FLUSH_SITE },
    { "-s site --reason=x", MODE_NONE },
    { "-p --sender=a --older-than=1d", MODE_LIST },
    { "-j --reason *x*", MODE_JSON },
    { "-p --older-than=soon", MODE_NONE },
    { "-p --nonsense", MODE_NONE },
    { "--destinations", MODE_DESTINATIONS },
    { "--destinations -j", MODE_DESTINATIONS },
    { "--destinations -j a.example", MODE_DESTINATIONS },
    { "--destinations a b", MODE_NONE },
    { "--destinations -p", MODE_NONE },
    { "--shape", MODE_SHAPE },
    { "--shape -s -l -p -j -b 5 -t 10 -n 3 -w 100 -m 2 deferred", MODE_SHAPE },
    { "-s --shape hold", MODE_SHAPE },
    { "--shape -b 0", MODE_NONE },
    { "--shape -b 31", MODE_NONE },
    { "--shape -t x", MODE_NONE },
    { "--shape nowhere", MODE_NONE },
    { "--shape --domain=x", MODE_SHAPE },
};

static void
test_options(void **state)
{
    struct options o;
    char copy[256];

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        enum result res = parse(lines[i].line, &o, copy);

        if ((res == RESULT_OK) != (lines[i].mode != MODE_NONE) ||
            (res == RESULT_OK && o.mode != lines[i].mode))
            fail_msg("postqueue %s", lines[i].line);
    }
    assert_int_equal(parse("--shape -s -b 5 -j hold deferred", &o, copy),
        RESULT_OK);
    assert_true(o.shape.senders && o.shape.json && o.shape.buckets == 5);
    assert_int_equal(o.queues, 1U << QUEUE_HOLD | 1U << QUEUE_DEFERRED);
    assert_int_equal(parse("--shape", &o, copy), RESULT_OK);
    assert_int_equal(o.queues, 1U << QUEUE_INCOMING | 1U << QUEUE_ACTIVE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_senders_linear),
        cmocka_unit_test(test_parents),
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
