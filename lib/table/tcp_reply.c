#include "lib/table/tcp_reply.h"

#include "lib/base/num.h"

void
tcp_encode(struct slice text, struct buf *to)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c == '%' || c <= ' ' || c >= 127)
            buf_add_format(to, "%%%02X", c);
        else
            buf_add_octet(to, c);
    }
}

static bool
decode(struct slice text, struct buf *to)
{
    while (text.len > 0) {
        uint64_t octet;

        if (text.ptr[0] != '%') {
            buf_add_octet(to, (unsigned char)text.ptr[0]);
            text = slice_skip(text, 1);
            continue;
        }
        if (text.len < 3 ||
            !num_parse_hex(slice_skip(slice_head(text, 3), 1), 255, &octet))
            return false;
        buf_add_octet(to, (unsigned char)octet);
        text = slice_skip(text, 3);
    }
    return true;
}

enum table_status
tcp_reply_parse(struct slice line, struct buf *value, struct why *why)
{
    struct slice code = slice_head(line, 3), text = slice_skip(line, 4);
    bool well_formed = line.len >= 4 && line.ptr[3] == ' ' &&
        decode(text, value) && !buf_failed(value);

    if (well_formed && slice_eq(code, SLICE_LIT("200")))
        return TABLE_FOUND;
    if (well_formed && slice_eq(code, SLICE_LIT("500"))) {
        buf_clear(value);
        return TABLE_NOT_FOUND;
    }
    if (well_formed && slice_eq(code, SLICE_LIT("400")))
        (void)why_temp(why, "4.3.0", "%.300s", buf_text(value));
    else
        (void)why_temp(why, "4.3.0", "malformed reply: \"%.*s\"",
            line.len > 200 ? 200 : (int)line.len, line.ptr);
    buf_clear(value);
    return TABLE_ERROR;
}
