#include "lib/config/value.h"

#include "lib/config/config.h"
#include "lib/config/lines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *in;
    char unit;
    int64_t want; /* -1: refused */
} times[] = {
    { "0", 's', 0 },
    { "300", 's', 300000 },
    { "300s", 'd', 300000 },
    { "2m", 's', 120000 },
    { "1h", 's', 3600000 },
    { "5d", 's', 5LL * 86400000 },
    { "1w", 's', 7LL * 86400000 },
    { "5", 'd', 5LL * 86400000 },
    { "1.5s", 's', 1500 },
    { "0.25m", 's', 15000 },
    { "0.0001s", 's', 1 }, /* a wait does not become none */
    { "1.000", 's', 1000 },
    { "5D", 's', 5LL * 86400000 },

    { "", 's', -1 },
    { "s", 's', -1 },
    { "5x", 's', -1 },
    { "5 s", 's', -1 },
    { "-5s", 's', -1 },
    { "5ss", 's', -1 },
    { "1.", 's', -1 },
    { ".5", 's', -1 },
    { "1.5.5s", 's', -1 },
    { "1.0000000001", 's', -1 },
    { "99999999999999999999", 's', -1 },
    { "9223372036854775807s", 's', -1 },
};

static void
test_times(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        int64_t ms = -1;

        print_message("  %s\n", times[i].in);
        assert_int_equal(config_parse_time(slice_of(times[i].in), times[i].unit,
                             &ms),
            times[i].want >= 0);
        assert_int_equal(ms, times[i].want);
    }
}

static void
test_units(void **state)
{
    (void)state;
    assert_int_equal(value_time_unit("5d"), 'd');
    assert_int_equal(value_time_unit("0h"), 'h');
    assert_int_equal(value_time_unit("${stress?{10}:{300}}s"), 's');
    assert_int_equal(value_time_unit("${x?{1}:{2}}h"), 'h');
    assert_int_equal(value_time_unit("$tls_random_reseed_period"), 's');
    assert_int_equal(value_time_unit("$some_period_d"), 's');
    assert_int_equal(value_time_unit(""), 's');
}

static const struct {
    const char *in;
    int64_t want; /* -99: refused */
} sizes[] = {
    { "0", 0 },
    { "10240000", 10240000 },
    { "64k", 65536 },
    { "64K", 65536 },
    { "2m", 2 << 20 },
    { "1g", 1 << 30 },
    { "-1", -1 },

    { "", -99 },
    { "k", -99 },
    { "1kk", -99 },
    { "1t", -99 },
    { "9223372036854775807k", -99 },
    { "0x10", -99 },
    { "1 k", -99 },
};

static void
test_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int64_t n = -99;

        print_message("  %s\n", sizes[i].in);
        if (!value_parse_size(slice_of(sizes[i].in), &n))
            n = -99;
        assert_int_equal(n, sizes[i].want);
    }
}

static void
test_bools_and_ints(void **state)
{
    bool yes = false;
    int64_t n;

    (void)state;
    assert_true(value_parse_bool(SLICE_LIT("Yes"), &yes) && yes);
    assert_true(value_parse_bool(SLICE_LIT("no"), &yes) && !yes);
    assert_false(value_parse_bool(SLICE_LIT("true"), &yes));
    assert_false(value_parse_bool(SLICE_LIT(""), &yes));
    assert_true(value_parse_int(SLICE_LIT("-7"), &n) && n == -7);
    assert_true(value_parse_int(SLICE_LIT("+7"), &n) && n == 7);
    assert_false(value_parse_int(SLICE_LIT("-"), &n));
    assert_false(value_parse_int(SLICE_LIT("7s"), &n));
    assert_false(value_parse_int(SLICE_LIT("9223372036854775808"), &n));
}

static const struct {
    const char *in;
    const char *want[6];
} lists[] = {
    { "", { NULL } },
    { " , ,\t", { NULL } },
    { "a", { "a" } },
    { "a, b c,d", { "a", "b", "c", "d" } },
    { "a {b c, d} e", { "a", "{b c, d}", "e" } },
    { "inline:{ a=b, c=d }, x", { "inline:{ a=b, c=d }", "x" } },
    { "{a {b c} d}e f", { "{a {b c} d}e", "f" } },
    { "a}b c", { "a}b", "c" } },
    { "{a b", { "{a b" } },
    { "!a, /x/y, hash:/z", { "!a", "/x/y", "hash:/z" } },
};

static void
test_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct slice rest = slice_of(lists[i].in), element;
        size_t n = 0;

        print_message("  %s\n", lists[i].in);
        while (config_list_next(&rest, &element)) {
            assert_non_null(lists[i].want[n]);
            assert_true(slice_eq_text(element, lists[i].want[n]));
            n++;
        }
        assert_null(lists[i].want[n]);
    }
    assert_true(slice_eq_text(config_unbrace(SLICE_LIT("{ a b }")), "a b"));
    assert_true(slice_eq_text(config_unbrace(SLICE_LIT("{}")), ""));
    assert_true(slice_eq_text(config_unbrace(SLICE_LIT("{a")), "{a"));
    assert_true(slice_eq_text(config_unbrace(SLICE_LIT("a")), "a"));
}

/* Line numbers are what complaints show. */
static void
test_lines(void **state)
{
    struct lines l;
    struct slice line;

    (void)state;
    lines_init(&l, SLICE_LIT(" stray\n# c\na\n  b \r\n\n# c\n\tc\n#\n \nlast"));
    assert_true(lines_next(&l, &line));
    assert_true(l.stray_blank);
    assert_int_equal(l.first, 1);
    assert_true(lines_next(&l, &line));
    assert_false(l.stray_blank);
    assert_int_equal(l.first, 3);
    assert_int_equal(l.last, 7);
    assert_true(slice_eq_text(line, "a  b \tc"));
    assert_true(lines_next(&l, &line));
    assert_int_equal(l.first, 10);
    assert_true(slice_eq_text(line, "last"));
    assert_false(lines_next(&l, &line));
    assert_false(lines_next(&l, &line));
    lines_fini(&l);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_bools_and_ints),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
