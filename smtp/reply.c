#include "smtp/reply.h"

#include "lib/base/printable.h"

#include <stdio.h>

void
reply_init(struct reply *r)
{
    *r = (struct reply){ 0 };
    buf_init(&r->text, REPLY_TEXT_MAX);
}

void
reply_fini(struct reply *r)
{
    buf_fini(&r->text);
}

void
reply_clear(struct reply *r)
{
    r->code = 0;
    r->lines = 0;
    r->status[0] = '\0';
    buf_clear(&r->text);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* RFC 3463 section 2: class "." 1*3digit "." 1*3digit */
size_t
reply_status_len(struct slice text)
{
    size_t at = 1;

    if (text.len < 5 || strchr("245", text.ptr[0]) == NULL)
        return 0;
    for (unsigned part = 0; part < 2; part++) {
        size_t digits = 0;

        if (at >= text.len || text.ptr[at] != '.')
            return 0;
        at++;
        while (at < text.len && is_digit(text.ptr[at])) {
            at++;
            digits++;
        }
        if (digits == 0 || digits > 3)
            return 0;
    }
    if (at < text.len && text.ptr[at] != ' ' && text.ptr[at] != '\t')
        return 0;
    return at;
}

/*
 * The server's code counts only when its class is that of the reply; the last
 * line of several decides.
 */
static void
take_status(struct reply *r, struct slice rest)
{
    size_t n;

    while (rest.len > 0 && rest.ptr[0] == ' ')
        rest = slice_skip(rest, 1);
    n = reply_status_len(rest);
    if (n > 0 && (unsigned)(rest.ptr[0] - '0') == reply_class(r))
        snprintf(r->status, sizeof(r->status), "%.*s", (int)n, rest.ptr);
    else
        snprintf(r->status, sizeof(r->status), "%c.0.0",
            (char)('0' + reply_class(r)));
}

enum reply_step
reply_add_line(struct reply *r, struct slice line)
{
    unsigned code;

    if (++r->lines > REPLY_LINES_MAX)
        return REPLY_GARBAGE;
    if (line.len < 3 || !is_digit(line.ptr[0]) || !is_digit(line.ptr[1]) ||
        !is_digit(line.ptr[2]))
        return REPLY_GARBAGE;
    if (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-')
        return REPLY_GARBAGE;
    code = (unsigned)(line.ptr[0] - '0') * 100 +
        (unsigned)(line.ptr[1] - '0') * 10 + (unsigned)(line.ptr[2] - '0');
    if (code < 200 || code > 599)
        return REPLY_GARBAGE;
    r->code = code;
    if (r->text.len + line.len + 1 <= REPLY_TEXT_MAX) {
        if (r->text.len > 0)
            buf_add_octet(&r->text, '\n');
        buf_add(&r->text, line);
    }
    if (line.len > 3 && line.ptr[3] == '-')
        return REPLY_MORE;
    take_status(r, slice_skip(line, 4));
    return REPLY_DONE;
}

enum reply_read
reply_read(struct reply *r, struct stream *st, int64_t deadline)
{
    reply_clear(r);
    for (;;) {
        struct slice line;

        switch (stream_read_line(st, REPLY_LINE_MAX, deadline, &line)) {
        case STREAM_OK:
            break;
        case STREAM_TOO_LONG:
            return REPLY_PROTOCOL;
        case STREAM_EOF:
        case STREAM_ERROR:
            return REPLY_LOST;
        case STREAM_TIMEOUT:
            return REPLY_TIMEOUT;
        case STREAM_CANCELLED:
            return REPLY_CANCELLED;
        }
        switch (reply_add_line(r, line)) {
        case REPLY_DONE:
            return REPLY_OK;
        case REPLY_MORE:
            break;
        case REPLY_GARBAGE:
            return REPLY_PROTOCOL;
        }
    }
}

void
reply_one_line(const struct reply *r, size_t max, struct buf *to)
{
    struct slice text = slice_head(buf_slice(&r->text), max);
    size_t start = to->len;

    buf_add(to, text);
    for (size_t i = start; i < to->len; i++)
        if (to->ptr[i] == '\n' || to->ptr[i] == '\t')
            to->ptr[i] = ' ';
    /* What a server sends must not break a log line or a notice. */
    if (to->len > start)
        printable_make(to->ptr + start, to->len - start);
}
