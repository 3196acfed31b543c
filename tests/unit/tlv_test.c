#include "lib/base/tlv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void
test_round_trip(void **state)
{
    static const uint64_t numbers[] = { 0, 1, 127, 128, 16383, 16384,
        UINT32_MAX, UINT64_MAX };
    static const uint32_t tags[] = { 0, 127, 128, UINT32_MAX };
    struct slice rest;
    struct buf b;
    struct tlv t;
    uint64_t n;

    (void)state;
    buf_init(&b, 10000);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        for (size_t j = 0; j < sizeof(tags) / sizeof(tags[0]); j++) {
            tlv_put_u64(&b, tags[j], numbers[i]);
            tlv_put(&b, tags[j], SLICE_LIT("a\0b"));
        }
    assert_false(buf_failed(&b));
    rest = buf_slice(&b);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        for (size_t j = 0; j < sizeof(tags) / sizeof(tags[0]); j++) {
            assert_true(tlv_next(&rest, &t));
            assert_int_equal(t.tag, tags[j]);
            assert_true(tlv_u64(t.value, numbers[i], &n));
            assert_true(n == numbers[i]);
            if (n > 0)
                assert_false(tlv_u64(t.value, n - 1, &n));
            assert_true(tlv_next(&rest, &t));
            assert_true(slice_eq(t.value, SLICE_LIT("a\0b")));
        }
    assert_false(tlv_next(&rest, &t));
    assert_int_equal(rest.len, 0);
    /* By tag, up to what is malformed. */
    buf_truncate(&b, b.len - 1);
    assert_int_equal(tlv_count(buf_slice(&b), tags[0]), 16);
    assert_int_equal(tlv_count(buf_slice(&b), UINT32_MAX), 15);
    assert_int_equal(tlv_count(buf_slice(&b), 5), 0);
    buf_fini(&b);
}

/* The octets are a format on disk: they must stay as they are. */
static void
test_octets(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100);
    tlv_put_u64(&b, 5, 300);
    tlv_put(&b, 200, SLICE_LIT("hi"));
    assert_true(
        slice_eq(buf_slice(&b), SLICE_LIT("\x05\x02\xac\x02\xc8\x01\x02hi")));
    buf_fini(&b);
}

#define CASE(name, octets, good, left)          \
    {                                           \
        name, SLICE_LIT(octets), (good), (left) \
    }

/* How many attributes are taken, and how many octets stay. */
static const struct {
    const char *name;
    struct slice in;
    unsigned good;
    size_t left;
} cases[] = {
    CASE("nothing", "", 0, 0),
    CASE("empty value", "\x01\x00", 1, 0),
    CASE("tag alone", "\x01", 0, 1),
    CASE("value cut off", "\x01\x03hi", 0, 4),
    CASE("second cut off", "\x01\x01x\x02\x01", 1, 2),
    CASE("tag unfinished", "\x80", 0, 1),
    CASE("tag too large", "\xff\xff\xff\xff\x1f\x00", 0, 6),
    CASE("varint too long", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01\x00",
        0, 12),
    CASE("length overflows", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 0,
        11),
    CASE("length huge", "\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0, 11),
};

static void
test_malformed(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice rest = cases[i].in;
        struct tlv t;
        unsigned n = 0;

        print_message("  %s\n", cases[i].name);
        while (tlv_next(&rest, &t))
            n++;
        assert_int_equal(n, cases[i].good);
        assert_int_equal(rest.len, cases[i].left);
    }
}

static void
test_numbers(void **state)
{
    uint64_t n = 99;

    (void)state;
    assert_false(tlv_u64(SLICE_LIT(""), 9, &n));
    assert_false(tlv_u64(SLICE_LIT("\x80"), 9, &n));
    assert_false(tlv_u64(SLICE_LIT("\x01\x01"), 9, &n)); /* one too many */
    assert_int_equal(n, 99);
    assert_true(tlv_u64(SLICE_LIT("\x81\x00"), 9, &n)); /* not the shortest */
    assert_int_equal(n, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_octets),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
