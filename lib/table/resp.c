#include "lib/table/resp.h"

#include "lib/base/num.h"

enum { LINE_MAX_OCTETS = 65536 };

/* Of "$" and "*": -1 is nil. */
static enum resp_kind
take_count(struct slice text, uint32_t max, uint32_t *n)
{
    if (slice_eq(text, SLICE_LIT("-1")))
        return RESP_NIL;
    return num_parse_u32(text, max, n) ? RESP_TEXT : RESP_MALFORMED;
}

static enum resp_kind
take_bulk(struct slice in, struct slice line, struct resp_value *value)
{
    uint32_t size;
    enum resp_kind kind = take_count(line, RESP_VALUE_MAX, &size);
    struct slice rest = slice_skip(in, value->used);

    if (kind != RESP_TEXT)
        return kind;
    if (rest.len < (size_t)size + 2)
        return RESP_MORE;
    if (rest.ptr[size] != '\r' || rest.ptr[size + 1] != '\n')
        return RESP_MALFORMED;
    value->text = slice_head(rest, size);
    value->used += (size_t)size + 2;
    return RESP_TEXT;
}

enum resp_kind
resp_parse(struct slice in, struct resp_value *value)
{
    size_t end = slice_find(in, '\n');
    struct slice line;
    enum resp_kind kind;
    uint32_t count;

    *value = (struct resp_value){ 0 };
    if (end == in.len)
        return in.len > LINE_MAX_OCTETS ? RESP_MALFORMED : RESP_MORE;
    if (end < 2 || in.ptr[end - 1] != '\r')
        return RESP_MALFORMED;
    line = slice_skip(slice_head(in, end - 1), 1);
    value->text = line;
    value->used = end + 1;
    switch (in.ptr[0]) {
    case '+':
    case ':':
        return RESP_TEXT;
    case '-':
        return RESP_ERROR;
    case '$':
        return take_bulk(in, line, value);
    case '*':
        kind = take_count(line, RESP_COUNT_MAX, &count);
        if (kind != RESP_TEXT)
            return kind;
        value->count = count;
        return RESP_ARRAY;
    default:
        return RESP_MALFORMED;
    }
}
