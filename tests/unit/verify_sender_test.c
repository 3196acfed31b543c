/*
 * The sender of probes, and who is taken for it.
 */
#include "lib/mail/verify_sender.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1700000000 };

#define BASE "myhostname=mx.test\nmyorigin=site.test\n"

static const struct {
    const char *name, *config;
    int64_t at; /* seconds since NOW: when it was made */
    const char *sender;
} senders[] = {
    { "default", "", 0, "double-bounce@site.test" },
    { "another", "address_verify_sender=probe@else.test\n", 0,
        "probe@else.test" },
    { "null", "address_verify_sender=<>\n", 0, "" },
    { "empty", "address_verify_sender=\n", 0, "" },
    { "null does not change",
        "address_verify_sender=\n"
        "address_verify_sender_ttl=1h\n",
        0, "" },
    /* 1700000000 / 3600 is 472222, to the base of 31 */
    { "by the hour", "address_verify_sender_ttl=1h\n", 0,
        "double-bouncehvcz@site.test" },
    { "an hour later", "address_verify_sender_ttl=1h\n", 3600,
        "double-bouncehvd0@site.test" },
};

static struct slice
make(const struct config *c, int64_t at, struct arena *arena)
{
    struct slice sender;
    struct why why;

    assert_int_equal(verify_sender_make(c, c, NOW + at, arena, &sender, &why),
        RESULT_OK);
    return sender;
}

static void
test_make(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(senders) / sizeof(senders[0]); i++) {
        char text[512], got[512];
        struct config_set *set;
        struct arena arena;
        struct why why;

        arena_init(&arena, 65536);
        (void)snprintf(text, sizeof(text), BASE "%s", senders[i].config);
        assert_int_equal(config_from_text(text, "", &set, &why), RESULT_OK);
        (void)snprintf(got, sizeof(got), SLICE_FMT,
            SLICE_ARG(make(config_main(set), senders[i].at, &arena)));
        print_message("  %s: %s\n", senders[i].name, got);
        assert_string_equal(got, senders[i].sender);
        arena_clear(&arena);
        config_drop(set);
    }
}

static bool
is_sender(const struct config *c, struct slice address, struct arena *arena)
{
    struct slice plain;

    if (!verify_sender_is(c, c, address, NOW, arena, &plain))
        return false;
    assert_true(slice_eq_text(plain, "double-bounce@site.test"));
    return true;
}

static void
test_is(void **state)
{
    static const int64_t good[] = { -3600, 0, 3600 }, bad[] = { -7200, 7200 };
    const struct config *c;
    struct config_set *set;
    struct arena arena;
    struct why why;

    (void)state;
    arena_init(&arena, 65536);
    assert_int_equal(config_from_text(BASE "address_verify_sender_ttl=1h\n", "",
                         &set, &why),
        RESULT_OK);
    c = config_main(set);
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(is_sender(c, make(c, good[i], &arena), &arena));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(is_sender(c, make(c, bad[i], &arena), &arena));
    assert_true(is_sender(c, SLICE_LIT("Double-Bounce@Site.Test"), &arena));
    assert_false(is_sender(c, SLICE_LIT("double-bounce@else.test"), &arena));
    assert_false(is_sender(c, SLICE_LIT("double-bouncex@site.test"), &arena));
    assert_false(is_sender(c, SLICE_LIT("ann@site.test"), &arena));
    assert_false(is_sender(c, SLICE_LIT(""), &arena));
    config_drop(set);

    /* A null sender is nobody's address; and without a time there is one. */
    assert_int_equal(config_from_text(BASE "address_verify_sender=\n", "", &set,
                         &why),
        RESULT_OK);
    assert_false(is_sender(config_main(set), SLICE_LIT(""), &arena));
    config_drop(set);
    assert_int_equal(config_from_text(BASE, "", &set, &why), RESULT_OK);
    assert_false(is_sender(config_main(set),
        SLICE_LIT("double-bouncehvcz@site.test"), &arena));
    config_drop(set);
    arena_clear(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_make),
        cmocka_unit_test(test_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
