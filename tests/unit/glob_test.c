#include "lib/base/glob.h"

#include "lib/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *pattern, *text;
    bool want;
} cases[] = {
    { "", "", true },
    { "", "a", false },
    { "a", "", false },
    { "*", "", true },
    { "**", "", true },
    { "?", "", false },
    { "ann@example.org", "ann@example.org", true },
    { "Ann@Example.ORG", "ann@eXample.org", true },
    { "ann@example.org", "ann@example.org.", false },
    { "ann@example.org", "joann@example.org", false },
    { "*@example.org", "ann@example.org", true },
    { "*@example.org", "ann@example.net", false },
    { "*timed out*", "connect to a[1.2.3.4]:25: Connection timed out", true },
    { "*timed out", "timed out (1)", false },
    { "*a*b*c", "xxaxxbxxbxxc", true },
    { "*a*b*c", "xxbxxaxxc", false },
    { "a?c", "abc", true },
    { "a?c", "ac", false },
    { "*[1.2.3.4]*", "host a[1.2.3.4] said", true },
    { "[ab]", "a", false },
    { "a\\*c", "a*c", true },
    { "a\\*c", "abc", false },
    { "a\\?c", "abc", false },
    { "a\\\\c", "a\\c", true },
    { "a\\", "a\\", true },
    { "*ab", "aab", true },
    { "*aab", "aaaab", true },
};

static void
test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (glob_match(slice_of(cases[i].pattern), slice_of(cases[i].text)) !=
            cases[i].want)
            fail_msg("%s of %s", cases[i].pattern, cases[i].text);
}

/* Anybody may ask, so no pattern may cost more than its length says. */
static void
test_stars(void **state)
{
    static char pattern[2001], text[10000];
    int64_t begin = clock_now_ms();

    (void)state;
    for (size_t i = 0; i < sizeof(pattern) - 1; i += 2)
        memcpy(pattern + i, "*a", 2);
    pattern[sizeof(pattern) - 1] = 'b';
    memset(text, 'a', sizeof(text));
    assert_false(glob_match((struct slice){ pattern, sizeof(pattern) },
        (struct slice){ text, sizeof(text) }));
    assert_true(clock_now_ms() - begin < 5000);
}

static void
test_plain(void **state)
{
    (void)state;
    assert_true(glob_is_plain(SLICE_LIT("a@b.c")));
    assert_false(glob_is_plain(SLICE_LIT("a*")));
    assert_false(glob_is_plain(SLICE_LIT("a?")));
    assert_false(glob_is_plain(SLICE_LIT("a\\b")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_stars),
        cmocka_unit_test(test_plain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
