#include "lib/base/tlv.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Groups within groups, as deep as the octets go but not deeper than this. */
enum { DEPTH_MAX = 4 };

static void
check_attribute(const struct tlv *t, struct slice in, size_t before,
    size_t after)
{
    uint64_t n = 0, same = 0;
    struct buf b;
    struct slice again;
    struct tlv copy;

    assert(after < before); /* a loop over them ends */
    assert(t->value.len < before - after);
    assert(t->value.len == 0 ||
        (t->value.ptr >= in.ptr &&
            t->value.ptr + t->value.len <= in.ptr + in.len));

    /* What was read can be written and read again. */
    buf_init(&b, in.len + TLV_HEADER_MAX);
    tlv_put(&b, t->tag, t->value);
    assert(!buf_failed(&b) && b.len <= t->value.len + TLV_HEADER_MAX);
    again = buf_slice(&b);
    assert(tlv_next(&again, &copy) && again.len == 0);
    assert(copy.tag == t->tag && slice_eq(copy.value, t->value));

    if (tlv_u64(t->value, UINT64_MAX, &n)) {
        assert(t->value.len <= 10);
        assert(tlv_u64(t->value, n, &same) && same == n);
        assert(n == 0 || !tlv_u64(t->value, n - 1, &same));
        buf_clear(&b);
        tlv_put_u64(&b, t->tag, n);
        again = buf_slice(&b);
        assert(tlv_next(&again, &copy));
        assert(tlv_u64(copy.value, n, &same) && same == n);
    }
    buf_fini(&b);
}

static void
/* NOLINTNEXTLINE(misc-no-recursion): depth is checked */
check_group(struct slice in, unsigned depth)
{
    struct slice rest = in;
    struct tlv t;
    size_t before = rest.len;

    while (tlv_next(&rest, &t)) {
        check_attribute(&t, in, before, rest.len);
        before = rest.len;
        if (depth < DEPTH_MAX)
            check_group(t.value, depth + 1);
    }
    assert(rest.len == before); /* what is malformed stays */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_group((struct slice){ (const char *)data, size }, 0);
    return 0;
}
