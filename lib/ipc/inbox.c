#include "lib/ipc/inbox.h"

#include "lib/base/mem.h"
#include "lib/ipc/frame.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

void
inbox_init(struct inbox *in, enum role self, enum role peer)
{
    *in = (struct inbox){ .self = self, .peer = peer };
}

void
inbox_fini(struct inbox *in)
{
    for (unsigned i = 0; i < in->fd_count; i++)
        close(in->fds[i]);
    in->fd_count = 0;
    msg_in_free(in->partial);
    in->partial = NULL;
    mem_free(in->buffer);
    in->buffer = NULL;
}

void *
inbox_room(struct inbox *in, size_t *size)
{
    if (in->partial != NULL) {
        *size = in->partial->body.len - in->have;
        return msg_in_body(in->partial) + in->have;
    }
    if (in->buffer == NULL)
        in->buffer = mem_resize(NULL, INBOX_BUFFER);
    if (in->start == in->end) {
        in->start = in->end = 0;
    } else if (in->start > 0 && INBOX_BUFFER - in->end < INBOX_BUFFER / 4) {
        memmove(in->buffer, in->buffer + in->start, in->end - in->start);
        in->end -= in->start;
        in->start = 0;
    }
    *size = INBOX_BUFFER - in->end;
    return in->buffer + in->end;
}

static enum inbox_status
broken(struct inbox *in, uint32_t type, const char *rule)
{
    in->broken_type = type;
    in->broken_rule = rule;
    return INBOX_BROKEN;
}

void
inbox_add(struct inbox *in, size_t n, const int *fds, unsigned count)
{
    if (in->partial != NULL)
        in->have += n;
    else
        in->end += n;
    for (unsigned i = 0; i < count; i++) {
        if (in->fd_count == INBOX_FDS_MAX) {
            close(fds[i]);
            broken(in, MESSAGE_NONE, "descriptors that no frame claims");
            continue;
        }
        in->fds[in->fd_count++] = fds[i];
    }
}

/* The descriptors travelled with the frame's first octet: they are there. */
static void
claim_fds(struct inbox *in, struct msg_in *m, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        m->fds[i] = in->fds[i];
    m->fd_count = count;
    in->fd_count -= count;
    memmove(in->fds, in->fds + count, in->fd_count * sizeof(in->fds[0]));
}

static enum inbox_status
take_partial(struct inbox *in, struct msg_in **m)
{
    if (in->have < in->partial->body.len)
        return INBOX_MORE;
    *m = in->partial;
    in->partial = NULL;
    return INBOX_MESSAGE;
}

static enum inbox_status
need_more(struct inbox *in)
{
    if (in->start == in->end && in->fd_count > 0)
        return broken(in, MESSAGE_NONE, "descriptors that no frame claims");
    return INBOX_MORE;
}

enum inbox_status
inbox_next(struct inbox *in, struct msg_in **m)
{
    struct slice octets = { in->buffer + in->start, in->end - in->start };
    struct msg_in *next;
    struct frame f;
    const char *rule;
    size_t have;

    if (in->broken_rule != NULL)
        return INBOX_BROKEN;
    if (in->partial != NULL)
        return take_partial(in, m);
    if (octets.len < FRAME_HEAD)
        return need_more(in);
    frame_decode(octets, &f);
    rule = frame_refuse(&f, in->peer, in->self);
    if (rule != NULL)
        return broken(in, f.type, rule);
    if (f.fds > in->fd_count)
        return broken(in, f.type, "descriptors are missing");
    octets = slice_skip(octets, FRAME_HEAD);
    if (octets.len < f.length && FRAME_HEAD + f.length <= INBOX_BUFFER)
        return INBOX_MORE;

    next = msg_in_new(f.type, f.number, f.length);
    if (next == NULL)
        return broken(in, f.type, "no memory for it");
    have = octets.len < f.length ? octets.len : f.length;
    if (have > 0)
        memcpy(msg_in_body(next), octets.ptr, have);
    in->start += FRAME_HEAD + have;
    claim_fds(in, next, f.fds);
    if (have == f.length) {
        *m = next;
        return INBOX_MESSAGE;
    }
    in->partial = next;
    in->have = have;
    return INBOX_MORE;
}
