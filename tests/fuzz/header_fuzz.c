#include "lib/mail/header.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { TOKENS = 10240, INTERNAL_MAX = 1 << 20 };

static bool
is_inside(struct slice part, struct slice whole)
{
    return part.ptr >= whole.ptr &&
        part.ptr + part.len <= whole.ptr + whole.len;
}

/* Each address is made of a part of the text; the parts follow one another. */
static void
read_addresses(struct slice text)
{
    struct header_addresses h;
    struct buf internal;
    struct slice raw;
    const char *end = text.ptr;

    buf_init(&internal, INTERNAL_MAX);
    header_addresses_init(&h, text, TOKENS);
    while (header_addresses_next(&h, &internal, &raw)) {
        assert(is_inside(raw, text));
        assert(raw.ptr >= end);
        assert(internal.len <= raw.len);
        assert(slice_find(buf_slice(&internal), '\n') == internal.len);
        assert(slice_find(buf_slice(&internal), '\r') == internal.len);
        end = raw.ptr + raw.len;
    }
    buf_fini(&internal);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size }, rest = in;
    struct header_field f;

    read_addresses(in);
    while (header_next(&rest, &f)) {
        assert(f.name.len > 0);
        assert(is_inside(f.name, f.whole));
        assert(is_inside(f.value, f.whole));
        assert(f.whole.ptr + f.whole.len == rest.ptr);
        read_addresses(f.value);
    }
    assert(is_inside(rest, in));
    return 0;
}
