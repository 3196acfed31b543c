/* QUEUE_CAT: a whole message, in pieces. */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "qmgr/console_private.h"
#include "qmgr/view.h"

#include <unistd.h>

enum { PIECE = 256 * 1024 };

static bool
send_piece(struct request *r, uint32_t tag, struct slice piece)
{
    struct msg m;

    if (piece.len == 0)
        return true;
    msg_init(&m, MESSAGE_QUEUE_ITEM);
    tlv_put(&m.body, tag, piece);
    request_item(r, &m);
    return request_wait_room(r, clock_now_ms() + CONSOLE_ROOM_MS) == LINK_OK;
}

static bool
send_text(struct request *r, uint32_t tag, struct slice text)
{
    for (; text.len > 0; text = slice_skip(text, PIECE))
        if (!send_piece(r, tag, slice_head(text, PIECE)))
            return false;
    return true;
}

static enum result
send_blob(struct request *r, const struct view *v, struct why *why)
{
    char *piece = mem_alloc(PIECE);
    uint64_t at = 0;
    ssize_t n = 1;

    while (at < v->record.blob_length && n > 0) {
        n = pread(v->fd, piece, PIECE, (off_t)at);
        if (n > 0 &&
            !send_piece(r, ATTR_BODY, (struct slice){ piece, (size_t)n }))
            break;
        at += n > 0 ? (uint64_t)n : 0;
    }
    mem_free(piece);
    if (n < 0)
        return why_errno(why, "read message file");
    return RESULT_OK;
}

static enum result
show(struct request *r, const struct view *v, struct why *why)
{
    struct msg m;

    queue_item_encode(&v->item, &m);
    tlv_put(&m.body, ATTR_ENVELOPE, v->record.envelope);
    request_item(r, &m);
    if (!send_text(r, ATTR_HEADER, v->header) ||
        !send_text(r, ATTR_BODY, v->body))
        return RESULT_OK;
    if (v->record.blob != 0)
        return send_blob(r, v, why);
    return RESULT_OK;
}

void
console_cat(struct console *c, struct request *r)
{
    struct queue_request *ask = mem_alloc(sizeof(*ask));
    struct view v = { 0 };
    struct why why;

    fiber_shield();
    if (!c->may_edit) {
        console_refuse(r, "use of this command is reserved for the superuser");
    } else if (!queue_request_decode(r->in->body, ask) || ask->id_count != 1) {
        console_refuse(r, "malformed request");
    } else {
        v.id = ask->ids[0];
        view_read(c->q, &v, 1, VIEW_CONTENT, NULL);
        if (!v.found)
            console_refuse(r, "No such file or directory");
        else if (show(r, &v, &why) != RESULT_OK)
            console_refuse(r, why.text);
        else
            console_done(r, 1);
        view_fini(c->q, &v);
    }
    mem_free(ask);
}
