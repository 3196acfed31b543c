/*
 * Content in chunks: the first octet of the input says where it is cut. However
 * it is cut, what comes out is the same, and holds no bare CR or LF.
 */
#include "lib/base/buf.h"
#include "smtpd/unstuff.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
normalize(struct slice in, size_t step, struct buf *to)
{
    struct unstuff u;
    struct slice run;

    unstuff_init(&u, UNSTUFF_RAW);
    while (in.len > 0) {
        struct slice chunk = slice_head(in, step);

        in = slice_skip(in, chunk.len);
        while (unstuff_next(&u, &chunk, &run) == UNSTUFF_RUN)
            buf_add(to, run);
        assert(chunk.len == 0);
    }
    if (unstuff_finish(&u, &run))
        buf_add(to, run);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data + 1, size - 1 };
    struct buf whole, cut;

    if (size < 2)
        return 0;
    buf_init(&whole, 1 << 20);
    buf_init(&cut, 1 << 20);
    normalize(in, size, &whole);
    normalize(in, data[0] % 7U + 1, &cut);
    assert(slice_eq(buf_slice(&whole), buf_slice(&cut)));
    for (size_t i = 0; i < whole.len; i++) {
        if (whole.ptr[i] == '\n')
            assert(i > 0 && whole.ptr[i - 1] == '\r');
        if (whole.ptr[i] == '\r')
            assert(i + 1 < whole.len && whole.ptr[i + 1] == '\n');
    }
    buf_fini(&whole);
    buf_fini(&cut);
    return 0;
}
