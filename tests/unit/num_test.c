#include "lib/base/num.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *in;
    uint64_t max;
    bool good;
    uint64_t n;
} decimals[] = {
    { "0", 0, true, 0 },
    { "00", 0, true, 0 },
    { "7", 7, true, 7 },
    { "8", 7, false, 0 },
    { "4294967295", UINT32_MAX, true, UINT32_MAX },
    { "4294967296", UINT32_MAX, false, 0 },
    { "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
    { "18446744073709551616", UINT64_MAX, false, 0 },
    { "99999999999999999999999", UINT64_MAX, false, 0 },
    { "", 9, false, 0 },
    { "-1", 9, false, 0 },
    { "+1", 9, false, 0 },
    { " 1", 9, false, 0 },
    { "1 ", 9, false, 0 },
    { "1x", 9, false, 0 },
    { "a", 99, false, 0 },
    { "0x1", 9, false, 0 },
};

static void
test_decimal(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(decimals) / sizeof(decimals[0]); i++) {
        struct slice in = slice_of(decimals[i].in);
        uint64_t n = 12345;
        uint32_t small = 12345;

        print_message("  \"%s\"\n", decimals[i].in);
        assert_int_equal(num_parse_u64(in, decimals[i].max, &n),
            decimals[i].good);
        assert_true(n == (decimals[i].good ? decimals[i].n : 12345));
        if (decimals[i].max > UINT32_MAX)
            continue;
        assert_int_equal(num_parse_u32(in, (uint32_t)decimals[i].max, &small),
            decimals[i].good);
        assert_true(small == (decimals[i].good ? decimals[i].n : 12345));
    }
}

static void
test_hex(void **state)
{
    uint64_t n = 1;

    (void)state;
    assert_true(num_parse_hex(SLICE_LIT("0aF"), 255, &n));
    assert_int_equal(n, 0xaf);
    assert_false(num_parse_hex(SLICE_LIT("100"), 255, &n));
    assert_true(num_parse_hex(SLICE_LIT("ffffFFFFffffFFFF"), UINT64_MAX, &n));
    assert_true(n == UINT64_MAX);
    assert_false(num_parse_hex(SLICE_LIT("10000000000000000"), UINT64_MAX, &n));
    assert_false(num_parse_hex(SLICE_LIT("g"), 255, &n));
    assert_false(num_parse_hex(SLICE_LIT(""), 255, &n));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decimal),
        cmocka_unit_test(test_hex),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
