#include "qmgr/record.h"

#include "lib/base/tlv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct {
    const char *name;
    uint32_t indexes[8];
    unsigned count;
    size_t octets; /* on disk */
} sets[] = {
    { "empty", { 0 }, 0, 0 },
    { "first", { 0 }, 1, 2 },
    { "run", { 0, 1, 2, 3, 4 }, 5, 2 },
    { "gap", { 0, 2 }, 2, 4 },
    { "far", { 7, 1000000 }, 2, 6 },
    { "two runs", { 1, 2, 10, 11, 12 }, 5, 4 },
};

static void
test_sets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
        struct set_writer w;
        struct slice rest;
        struct buf b;
        uint32_t at = 0, start, count;
        unsigned seen = 0;

        print_message("  %s\n", sets[i].name);
        buf_init(&b, 1000);
        set_begin(&w, &b);
        for (unsigned k = 0; k < sets[i].count; k++)
            set_add(&w, sets[i].indexes[k]);
        set_end(&w);
        assert_int_equal(b.len, sets[i].octets);
        rest = buf_slice(&b);
        while (set_next(&rest, &at, &start, &count))
            for (uint32_t k = 0; k < count; k++)
                assert_int_equal(sets[i].indexes[seen++], start + k);
        assert_int_equal(rest.len, 0);
        assert_int_equal(seen, sets[i].count);
        buf_fini(&b);
    }
}

static const struct {
    const char *name;
    struct slice octets;
} bad_sets[] = {
    { "gap alone", SLICE_LIT("\x01") },
    { "empty run", SLICE_LIT("\x01\x00") },
    { "unended", SLICE_LIT("\x81") },
    { "too many", SLICE_LIT("\x80\x80\x40\x01") },
    { "overflow", SLICE_LIT("\xff\xff\xff\xff\xff\x01\x01") },
};

static void
test_bad_sets(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_sets) / sizeof(bad_sets[0]); i++) {
        struct slice rest = bad_sets[i].octets, settled;
        uint32_t at = 0, start, count;
        struct why why;
        struct buf b;

        print_message("  %s\n", bad_sets[i].name);
        while (set_next(&rest, &at, &start, &count))
            ;
        assert_true(rest.len > 0);
        buf_init(&b, 1000);
        status_put_settled(bad_sets[i].octets, &b);
        assert_int_equal(status_settled(buf_slice(&b), &settled, &why),
            RESULT_PERMFAIL);
        buf_fini(&b);
    }
}

static void
test_status(void **state)
{
    struct status_brief brief = { 7, 123456, 3, 1, STATUS_HELD, 9, 0, 4 }, read;
    struct rcpt_result result = {
        .outcome = OUTCOME_DEFERRED,
        .status = "4.4.1",
        .text = SLICE_LIT("connect: refused"),
    };
    struct rcpt_result got;
    struct slice rest, settled, set;
    struct buf b;
    struct why why;
    unsigned groups = 0;

    (void)state;
    buf_init(&b, 10000);
    status_brief_encode(&brief, &b);
    assert_int_equal(status_brief_decode(buf_slice(&b), &read, &why),
        RESULT_OK);
    assert_int_equal(read.version, 7);
    assert_int_equal(read.next_try_ms, 123456);
    assert_int_equal(read.attempts, 3);
    assert_int_equal(read.deaths, 1);
    assert_int_equal(read.flags, STATUS_HELD);
    assert_int_equal(read.unsettled, 9);
    assert_int_equal(read.kills, 4);
    buf_clear(&b);
    status_put_settled(SLICE_LIT("\x00\x02"), &b);
    status_put_group(&result, SLICE_LIT("\x02\x01"), &b);
    tlv_put(&b, 200, SLICE_LIT("of the future"));
    status_put_group(&result, SLICE_LIT("\x03\x01"), &b);
    assert_int_equal(status_settled(buf_slice(&b), &settled, &why), RESULT_OK);
    assert_int_equal(settled.len, 2);
    rest = buf_slice(&b);
    while (status_next_group(&rest, &got, &set)) {
        groups++;
        assert_int_equal(got.outcome, OUTCOME_DEFERRED);
        assert_string_equal(got.status, "4.4.1");
        assert_true(slice_eq(got.text, result.text));
        assert_int_equal(set.ptr[0], 1 + (int)groups);
    }
    assert_int_equal(rest.len, 0);
    assert_int_equal(groups, 2);
    buf_fini(&b);
}

static const struct {
    const char *name;
    uint32_t header, body_at, body;
    bool good;
} contents[] = {
    { "header alone", 10, 0, 0, true },
    { "side by side", 4, 4, 6, true },
    { "with a gap", 4, 6, 4, true },
    { "nothing", 0, 0, 0, true },
    { "header too long", 11, 0, 0, false },
    { "body too long", 4, 4, 7, false },
    { "body in header", 4, 3, 2, false },
    { "sum overflows", 4, 5, UINT32_MAX, false },
};

static void
test_content(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        struct message_record r = {
            .header_length = contents[i].header,
            .body_at = contents[i].body_at,
            .body_length = contents[i].body,
        };
        struct slice all = SLICE_LIT("0123456789"), header, body;

        print_message("  %s\n", contents[i].name);
        assert_int_equal(message_record_content(&r, all, &header, &body),
            contents[i].good);
        if (!contents[i].good)
            continue;
        assert_int_equal(header.len, contents[i].header);
        assert_int_equal(body.len, contents[i].body);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_bad_sets),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_content),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
