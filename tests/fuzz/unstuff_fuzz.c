#include "smtpd/unstuff.h"

#include "tests/unit/unstuff_oracle.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Pieces of the lengths that the first octets say, over and over. */
struct cuts {
    const uint8_t *lengths;
    size_t count, next;
};

static size_t
next_cut(void *context)
{
    struct cuts *c = context;

    return 1U + c->lengths[c->next++ % c->count];
}

static void
compare(enum unstuff_mode mode, struct slice in, struct cuts cuts)
{
    struct slice want_rest, got_rest;
    struct buf want, got;
    bool end;

    buf_init(&want, SIZE_MAX);
    buf_init(&got, SIZE_MAX);
    end = oracle(mode, in, &want, &want_rest);
    assert(unstuff_all(mode, in, next_cut, &cuts, &got, &got_rest) == end);
    assert(end ? got.len == want.len : got.len >= want.len);
    assert(want.len == 0 || memcmp(got.ptr, want.ptr, want.len) == 0);
    assert(!end || got_rest.ptr == want_rest.ptr);
    /* Never a bare CR or LF, however it ends. */
    for (size_t i = 0; i < got.len; i++) {
        assert(got.ptr[i] != '\n' || (i > 0 && got.ptr[i - 1] == '\r'));
        assert(
            got.ptr[i] != '\r' || i + 1 == got.len || got.ptr[i + 1] == '\n');
    }
    buf_fini(&want);
    buf_fini(&got);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { LENGTHS = 4 };
    struct cuts cuts = { data, LENGTHS, 0 };

    if (size < LENGTHS)
        return 0;
    for (enum unstuff_mode m = UNSTUFF_STRICT; m <= UNSTUFF_RAW; m++)
        compare(m,
            (struct slice){ (const char *)data + LENGTHS, size - LENGTHS },
            cuts);
    return 0;
}
