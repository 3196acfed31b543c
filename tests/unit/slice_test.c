#include "lib/base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void
assert_text(struct slice got, const char *want)
{
    assert_int_equal(got.len, strlen(want));
    if (got.len > 0)
        assert_memory_equal(got.ptr, want, got.len);
}

static const struct slice none = { NULL, 0 };

static void
test_compare(void **state)
{
    (void)state;
    assert_true(slice_eq(SLICE_LIT("abc"), slice_of("abc")));
    assert_false(slice_eq(SLICE_LIT("abc"), SLICE_LIT("abC")));
    assert_false(slice_eq(SLICE_LIT("abc"), SLICE_LIT("ab")));
    assert_true(slice_eq(none, SLICE_LIT("")));
    assert_true(slice_eq(SLICE_LIT("a\0b"), SLICE_LIT("a\0b")));
    assert_false(slice_eq(SLICE_LIT("a\0b"), SLICE_LIT("a\0c")));
    assert_true(slice_eq_nocase(SLICE_LIT("MAIL"), SLICE_LIT("mail")));
    assert_false(slice_eq_nocase(SLICE_LIT("MAIL"), SLICE_LIT("mai")));
    assert_true(slice_eq_text(SLICE_LIT("x"), "x"));
    assert_true(slice_eq_text(none, ""));
    assert_int_equal(slice_of(NULL).len, 0);
}

static void
test_ends(void **state)
{
    struct slice s = SLICE_LIT("Example.ORG");

    (void)state;
    assert_true(slice_starts(s, SLICE_LIT("Exam")));
    assert_true(slice_starts(s, none));
    assert_false(slice_starts(s, SLICE_LIT("exam")));
    assert_false(slice_starts(SLICE_LIT("Ex"), SLICE_LIT("Exam")));
    assert_true(slice_starts_nocase(s, SLICE_LIT("exam")));
    assert_false(slice_starts_nocase(SLICE_LIT("Ex"), SLICE_LIT("Exam")));
    assert_true(slice_ends_nocase(s, SLICE_LIT(".org")));
    assert_true(slice_ends_nocase(s, none));
    assert_false(slice_ends_nocase(SLICE_LIT("rg"), SLICE_LIT("org")));
}

static void
test_cut(void **state)
{
    struct slice s = SLICE_LIT("hello");

    (void)state;
    assert_text(slice_head(s, 2), "he");
    assert_text(slice_head(s, 9), "hello");
    assert_text(slice_skip(s, 2), "llo");
    assert_text(slice_skip(s, 5), "");
    assert_text(slice_skip(s, SIZE_MAX), "");
    assert_text(slice_skip(none, 3), "");
    assert_int_equal(slice_find(s, 'l'), 2);
    assert_int_equal(slice_rfind(s, 'l'), 3);
    assert_int_equal(slice_find(s, 'x'), 5);
    assert_int_equal(slice_rfind(s, 'x'), 5);
    assert_int_equal(slice_find(none, 'x'), 0);
    assert_int_equal(slice_rfind(none, 'x'), 0);
}

static const struct {
    const char *in, *out;
} trims[] = {
    { "", "" },
    { "a", "a" },
    { " a ", "a" },
    { "\t\r\n a b\r\n", "a b" },
    { " \t ", "" },
};

static void
test_trim(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(trims) / sizeof(trims[0]); i++)
        assert_text(slice_trim(slice_of(trims[i].in)), trims[i].out);
    assert_text(slice_trim(none), "");
}

static void
test_words(void **state)
{
    struct slice rest = SLICE_LIT(" one,,two  three ,"), word;

    (void)state;
    assert_true(slice_word(&rest, " ,", &word));
    assert_text(word, "one");
    assert_true(slice_word(&rest, " ,", &word));
    assert_text(word, "two");
    assert_true(slice_word(&rest, " ,", &word));
    assert_text(word, "three");
    assert_false(slice_word(&rest, " ,", &word));
    assert_int_equal(rest.len, 0);
    assert_false(slice_word(&rest, " ,", &word));
    rest = SLICE_LIT("a\0b"); /* NUL separates nothing */
    assert_true(slice_word(&rest, " ", &word));
    assert_int_equal(word.len, 3);
}

static void
test_lines(void **state)
{
    struct slice rest = SLICE_LIT("a\r\nb\n\r\n\rc\r\nlast"), line;
    static const char *const want[] = { "a", "b", "", "\rc", "last" };

    (void)state;
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        assert_true(slice_line(&rest, &line));
        assert_text(line, want[i]);
    }
    assert_false(slice_line(&rest, &line));
    rest = SLICE_LIT("a\n"); /* no empty line behind the last end */
    assert_true(slice_line(&rest, &line));
    assert_false(slice_line(&rest, &line));
}

static void
test_line_end(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "a\r\n", "a" },
        { "a\n", "a" },
        { "a\r", "a" },
        { "a", "a" },
        { "\r\n", "" },
        { "\n\n", "\n" },
        { "a\r\r\n", "a\r" },
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_text(slice_without_line_end(slice_of(cases[i].in)),
            cases[i].out);
}

static void
test_digits(void **state)
{
    (void)state;
    assert_true(slice_is_digits(SLICE_LIT("0")));
    assert_true(slice_is_digits(SLICE_LIT("0123456789")));
    assert_false(slice_is_digits(none));
    assert_false(slice_is_digits(SLICE_LIT("-1")));
    assert_false(slice_is_digits(SLICE_LIT("1 ")));
    assert_false(slice_is_digits(SLICE_LIT("1/2")));
    assert_false(slice_is_digits(SLICE_LIT("1:2")));
    assert_true(slice_is_ascii(none));
    assert_true(slice_is_ascii(SLICE_LIT("a\0\x7f")));
    assert_false(slice_is_ascii(SLICE_LIT("a\x80")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_ends),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_line_end),
        cmocka_unit_test(test_digits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
