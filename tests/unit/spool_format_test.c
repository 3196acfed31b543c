#include "lib/base/crc32c.h"
#include "lib/base/put.h"
#include "qmgr/spool/format.h"
#include "qmgr/spool/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct segment_key key = { 0x100000002, 0xfeedc0dedeadbeef };

/* Each bit of it, one after the other; fn says whether it is still taken. */
static void
flip_all(unsigned char *octets, size_t len, bool (*taken)(const void *context),
    const void *context)
{
    for (size_t bit = 0; bit < len * 8; bit++) {
        octets[bit / 8] ^= (unsigned char)(1U << bit % 8);
        if (taken(context))
            fail_msg("bit %zu of octet %zu changes nothing", bit % 8, bit / 8);
        octets[bit / 8] ^= (unsigned char)(1U << bit % 8);
    }
    assert_true(taken(context));
}

static bool
batch_taken(const void *context)
{
    struct batch_header h;

    return batch_header_decode(context, 3 * BLOCK_SIZE, &h) &&
        h.key.generation == key.generation && h.key.salt == key.salt;
}

static void
test_batch(void **state)
{
    const struct batch_header h = {
        .key = key,
        .serial = 77,
        .previous = 76,
        .offset = 3 * BLOCK_SIZE,
        .length = 2 * BLOCK_SIZE,
        .durable = 3 * BLOCK_SIZE,
        .records = 9,
    };
    unsigned char octets[BATCH_HEADER_SIZE], again[BATCH_HEADER_SIZE];
    struct batch_header got;

    (void)state;
    batch_header_encode(&h, octets);
    assert_true(batch_header_decode(octets, h.offset, &got));
    assert_int_equal(got.records, h.records);
    batch_header_encode(&got, again); /* not the structs: they have padding */
    assert_memory_equal(again, octets, sizeof(octets));
    assert_false(batch_header_decode(octets, h.offset + BLOCK_SIZE, &got));
    flip_all(octets, sizeof(octets), batch_taken, octets);
}

static bool
trailer_taken(const void *context)
{
    struct trailer t;

    return trailer_decode(context, 1024 * 1024, &t);
}

static void
test_trailer(void **state)
{
    const struct trailer t = {
        .key = key,
        .data_end = 10 * BLOCK_SIZE,
        .index_at = 10 * BLOCK_SIZE,
        .index_len = 480,
        .last_serial = 12,
        .entries = 10,
        .index_crc = 99,
    };
    unsigned char octets[TRAILER_SIZE];
    struct trailer got;

    (void)state;
    trailer_encode(&t, octets);
    assert_true(trailer_decode(octets, 1024 * 1024, &got));
    assert_memory_equal(&got, &t, sizeof(t));
    assert_false(trailer_decode(octets, 10 * BLOCK_SIZE, &got));
    flip_all(octets, sizeof(octets), trailer_taken, octets);
}

static struct segment_header
a_header(uint64_t stamp, enum segment_state segment_state)
{
    struct segment_header h = {
        .format = FORMAT_VERSION,
        .state = segment_state,
        .spool_id = "0123456789abcde",
        .stamp = stamp,
        .key = key,
        .size = 1024 * 1024,
        .purpose = PURPOSE_COLD,
        .closure_count = 2,
        .closures = { { 5, 8192 }, { 6, 4096 } },
    };

    return h;
}

static void
test_segment_header(void **state)
{
    static unsigned char block[BLOCK_SIZE], newer[BLOCK_SIZE];
    struct segment_header h = a_header(10, SEGMENT_FREE), got;

    (void)state;
    memset(&got, 0, sizeof(got));
    assert_int_equal(segment_header_decode(block, &got), HEADER_NONE);
    segment_header_encode(&h, block);
    assert_int_equal(segment_header_decode(block, &got), HEADER_OK);
    assert_memory_equal(&got.closures, &h.closures, sizeof(h.closures));
    assert_int_equal(got.stamp, 10);
    assert_int_equal(got.purpose, PURPOSE_COLD);
    /* One copy damaged: the other serves. Both: it is damaged. */
    for (size_t at = 0; at < SEGMENT_HEADER_SIZE; at++) {
        block[at] ^= 1;
        assert_int_equal(segment_header_decode(block, &got), HEADER_OK);
        block[SEGMENT_HEADER_SECOND + at] ^= 1;
        assert_int_equal(segment_header_decode(block, &got), HEADER_BAD);
        block[at] ^= 1;
        assert_int_equal(segment_header_decode(block, &got), HEADER_OK);
        block[SEGMENT_HEADER_SECOND + at] ^= 1;
    }
    /* Torn while it was written: the newer copy counts, whichever it is. */
    h = a_header(11, SEGMENT_USED);
    segment_header_encode(&h, newer);
    memcpy(block, newer, SEGMENT_HEADER_SIZE);
    assert_int_equal(segment_header_decode(block, &got), HEADER_OK);
    assert_int_equal(got.state, SEGMENT_USED);
    h = a_header(10, SEGMENT_FREE);
    segment_header_encode(&h, block);
    memcpy(block + SEGMENT_HEADER_SECOND, newer + SEGMENT_HEADER_SECOND,
        SEGMENT_HEADER_SIZE);
    assert_int_equal(segment_header_decode(block, &got), HEADER_OK);
    assert_int_equal(got.state, SEGMENT_USED);
    /* A newer format is not guessed at. */
    put_le32(block + 8, FORMAT_VERSION + 1);
    put_le32(block + SEGMENT_HEADER_SIZE - 4,
        crc32c(0, block, SEGMENT_HEADER_SIZE - 4));
    assert_int_equal(segment_header_decode(block, &got), HEADER_NEWER);
}

enum { RECORD_AT = 8 * 1234 };

struct record_octets {
    unsigned char *octets;
    size_t len;
};

static bool
record_taken(const void *context)
{
    const struct record_octets *o = context;
    struct record_info r;

    return record_decode(o->octets, o->len, RECORD_AT, &key, &r) &&
        record_payload_valid(o->octets, &r);
}

static struct record_info
a_record(void)
{
    return (struct record_info){
        .type = RECORD_MESSAGE,
        .flags = RECORD_COPY,
        .part = 1,
        .parts = 3,
        .id = 42,
        .serial = 4711,
        .other = 17,
        .head_len = 4,
        .content_len = 7,
        .head_crc = crc32c(0, "head", 4),
        .content_crc = crc32c(0, "content", 7),
        .offset = RECORD_AT,
        .brief = SLICE_LIT("brief"),
    };
}

static void
test_record(void **state)
{
    struct record_info r = a_record(), got;
    unsigned char octets[128] = { 0 }, again[128] = { 0 };
    struct record_octets all = { octets, (size_t)record_length(&r) };
    struct segment_key other = key;
    size_t at = record_encode(&r, &key, octets);

    (void)state;
    assert_int_equal(at, record_payload_at(&r));
    memcpy(octets + at, "headcontent", 11);
    assert_true(record_decode(octets, all.len, RECORD_AT, &key, &got));
    assert_true(record_payload_valid(octets, &got));
    assert_true(slice_eq(got.brief, r.brief));
    assert_int_equal(record_encode(&got, &key, again), at);
    assert_memory_equal(again, octets, at);
    /* Elsewhere, of another use, or cut off, it is none. */
    assert_false(record_decode(octets, all.len, RECORD_AT + 8, &key, &got));
    other.salt ^= UINT64_C(1) << 63;
    assert_false(record_decode(octets, all.len, RECORD_AT, &other, &got));
    other = key;
    other.generation++;
    assert_false(record_decode(octets, all.len, RECORD_AT, &other, &got));
    for (size_t len = 0; len < all.len; len++)
        assert_false(record_decode(octets, len, RECORD_AT, &key, &got));
    /* Header, brief and payload; the padding between and behind is free. */
    flip_all(octets, RECORD_HEADER_SIZE + r.brief.len, record_taken, &all);
    flip_all(octets + at, 11, record_taken, &all);
    /* The head is valid without the content. */
    octets[at + 4] ^= 1;
    assert_true(record_head_valid(octets, at + 4, &r, &key));
    octets[at] ^= 1;
    assert_false(record_head_valid(octets, at + 4, &r, &key));
}

static void
test_index(void **state)
{
    struct record_info r = a_record(), got;
    struct slice rest;
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    index_entry_add(&b, &r);
    r.brief.len = 0;
    r.id = 43;
    index_entry_add(&b, &r);
    assert_int_equal(b.len, index_entry_length(5) + index_entry_length(0));
    rest = buf_slice(&b);
    assert_true(index_entry_next(&rest, &got));
    assert_int_equal(got.id, 42);
    assert_int_equal(got.offset, RECORD_AT);
    assert_int_equal(got.other, 17);
    assert_true(slice_eq_text(got.brief, "brief"));
    assert_true(index_entry_next(&rest, &got));
    assert_int_equal(got.id, 43);
    assert_false(index_entry_next(&rest, &got));
    assert_int_equal(rest.len, 0);
    for (size_t len = 0; len < index_entry_length(5); len++) {
        rest = slice_head(buf_slice(&b), len);
        assert_false(index_entry_next(&rest, &got));
    }
    buf_fini(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_trailer),
        cmocka_unit_test(test_segment_header),
        cmocka_unit_test(test_record),
        cmocka_unit_test(test_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
