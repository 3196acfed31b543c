#include "lib/table/socketmap_reply.h"

#include "lib/base/num.h"

enum { DIGITS_MAX = 9 };

void
socketmap_add_netstring(struct slice first, struct slice second, struct buf *to)
{
    buf_add_format(to, "%zu:", first.len + 1 + second.len);
    buf_add(to, first);
    buf_add_octet(to, ' ');
    buf_add(to, second);
    buf_add_octet(to, ',');
}

int
socketmap_length(struct slice in, size_t max, size_t *size, size_t *used)
{
    size_t colon = slice_find(slice_head(in, DIGITS_MAX + 1), ':');
    uint32_t n;

    for (size_t i = 0; i < colon; i++)
        if (in.ptr[i] < '0' || in.ptr[i] > '9')
            return -1;
    if (colon == in.len && colon <= DIGITS_MAX)
        return 0;
    if (!num_parse_u32(slice_head(in, colon), UINT32_MAX, &n) || n > max)
        return -1;
    *size = n;
    *used = colon + 1;
    return 1;
}

enum table_status
socketmap_reply_parse(struct slice reply, struct buf *value, struct why *why)
{
    size_t blank = slice_find(reply, ' ');
    struct slice word = slice_head(reply, blank);
    struct slice text = slice_skip(reply, blank + 1);

    if (slice_eq(word, SLICE_LIT("OK"))) {
        buf_add(value, text);
        if (!buf_failed(value))
            return TABLE_FOUND;
        (void)why_temp(why, "4.3.0", "reply is too long");
    } else if (slice_eq(word, SLICE_LIT("NOTFOUND"))) {
        return TABLE_NOT_FOUND;
    } else if (slice_eq(word, SLICE_LIT("TEMP")) ||
        slice_eq(word, SLICE_LIT("TIMEOUT")) ||
        slice_eq(word, SLICE_LIT("PERM"))) {
        (void)why_temp(why, "4.3.0", SLICE_FMT " %.*s", SLICE_ARG(word),
            text.len > 300 ? 300 : (int)text.len, text.ptr);
    } else {
        (void)why_temp(why, "4.3.0", "malformed reply: \"%.*s\"",
            reply.len > 200 ? 200 : (int)reply.len, reply.ptr);
    }
    return TABLE_ERROR;
}
