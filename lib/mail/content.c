#include "lib/mail/content.h"

#include "lib/base/crc32c.h"

#include <errno.h>
#include <unistd.h>

void
content_rewind(struct content *c)
{
    c->at = 0;
    c->crc_so_far = 0;
    c->step = CONTENT_STEP_HEADER;
}

static enum result
read_piece(struct content *c, char *scratch, struct slice *piece,
    struct why *why)
{
    uint64_t left = c->length - c->at;
    size_t want = left < CONTENT_PIECE ? (size_t)left : CONTENT_PIECE;
    ssize_t n;

    do
        n = pread(c->fd, scratch, want, (off_t)c->at);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return why_errno(why, "read message content");
    if (n == 0)
        return why_temp(why, "4.3.0", "message content is cut short");
    c->crc_so_far = crc32c(c->crc_so_far, scratch, (size_t)n);
    c->at += (uint64_t)n;
    /* Its lender's descriptor stayed writable: believe it only now. */
    if (c->at == c->length && c->crc_so_far != c->crc)
        return why_temp(why, "4.3.0", "message content has a wrong checksum");
    *piece = (struct slice){ scratch, (size_t)n };
    return RESULT_OK;
}

enum result
content_next(struct content *c, char *scratch, struct slice *piece,
    struct why *why)
{
    if (c->step == CONTENT_STEP_HEADER) {
        c->step = CONTENT_STEP_SEPARATOR;
        if (c->header.len > 0) {
            *piece = c->header;
            return RESULT_OK;
        }
    }
    if (c->step == CONTENT_STEP_SEPARATOR) {
        c->step = CONTENT_STEP_BODY;
        *piece = SLICE_LIT("\r\n");
        return RESULT_OK;
    }
    if (c->fd >= 0 && c->at < c->length)
        return read_piece(c, scratch, piece, why);
    *piece = c->fd < 0 ? slice_skip(c->body, c->at) : SLICE_LIT("");
    c->at += piece->len;
    if (piece->len == 0)
        c->step = CONTENT_STEP_END;
    return RESULT_OK;
}
