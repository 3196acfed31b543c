/*
 * The structure of a message: the first octet says how it is cut. What comes out
 * of the walk is what went in; however it is cut, the same comes of a
 * conversion, which leaves nothing for another one to do.
 */
#include "lib/mail/mime.h"

#include "lib/base/buf.h"
#include "lib/mail/mime_convert.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NESTING = 5, BOUNDARY = 70, FIELD = 200 };

struct walk {
    struct buf octets;
    size_t leaves, ends; /* that began, that ended */
};

static void
take_piece(void *context, enum mime_piece kind, const struct mime_entity *e,
    struct slice octets)
{
    struct walk *w = context;

    if (kind == MIME_HEADER_END && e->kind == MIME_LEAF)
        w->leaves++;
    if (kind == MIME_BODY_END)
        w->ends++;
    if (kind == MIME_BODY)
        assert(w->leaves == w->ends + 1);
    buf_add(&w->octets, octets);
}

static enum result
walk(struct slice in, size_t step, struct walk *w)
{
    const struct mime_options options = {
        .piece = take_piece,
        .context = w,
        .nesting_max = NESTING,
        .boundary_max = BOUNDARY,
        .field_max = FIELD,
    };
    struct mime *m = mime_new(&options);
    struct why why;
    enum result res;

    while (in.len > 0) {
        mime_take(m, slice_head(in, step));
        in = slice_skip(in, step);
    }
    res = mime_end(m, &why);
    mime_free(m);
    return res;
}

static void
add(void *context, struct slice octets)
{
    buf_add(context, octets);
}

static enum result
convert(struct slice in, size_t step, struct buf *to)
{
    static const struct config config = {
        .mime_nesting_limit = NESTING,
        .mime_boundary_length_limit = BOUNDARY,
        .header_size_limit = FIELD,
    };
    struct mime_convert *c = mime_convert_new(MIME_CONVERT_BINARY, &config, add,
        to);
    struct why why;
    enum result res;

    while (in.len > 0) {
        mime_convert_take(c, slice_head(in, step));
        in = slice_skip(in, step);
    }
    res = mime_convert_end(c, &why);
    mime_convert_free(c);
    return res;
}

static void
look_at(struct slice in, size_t step)
{
    struct walk w = { .leaves = 0 };
    struct buf whole, cut, again;

    buf_init(&w.octets, SIZE_MAX);
    buf_init(&whole, SIZE_MAX);
    buf_init(&cut, SIZE_MAX);
    buf_init(&again, SIZE_MAX);
    if (walk(in, step, &w) == RESULT_OK) {
        assert(slice_eq(buf_slice(&w.octets), in));
        assert(w.leaves == w.ends);
        assert(convert(in, in.len, &whole) == RESULT_OK);
        assert(convert(in, step, &cut) == RESULT_OK);
        assert(slice_eq(buf_slice(&whole), buf_slice(&cut)));
        assert(convert(buf_slice(&whole), step, &again) == RESULT_OK);
        assert(slice_eq(buf_slice(&whole), buf_slice(&again)));
    } else {
        assert(convert(in, in.len, &whole) != RESULT_OK);
    }
    buf_fini(&w.octets);
    buf_fini(&whole);
    buf_fini(&cut);
    buf_fini(&again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    look_at((struct slice){ (const char *)data + 1, size - 1 },
        data[0] % 9U + 1);
    return 0;
}
