#include "lib/ipc/outbox.h"

#include "lib/base/mem.h"
#include "lib/io/sock.h"
#include "lib/ipc/frame.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    CHUNK = 32 * 1024,     /* octets gathered in one piece */
    COPY_MAX = 8 * 1024,   /* a larger body is taken over */
    WRITE_CHUNKS_MAX = 64, /* in one call */
};

struct chunk {
    struct list node;
    char *octets;
    size_t len, cap, sent;
    int fds[MSG_FDS_MAX]; /* go with the first octet */
    unsigned fd_count;
};

void
outbox_init(struct outbox *out)
{
    list_init(&out->chunks);
    out->octets = 0;
}

static void
chunk_free(struct chunk *c)
{
    list_remove(&c->node);
    for (unsigned i = 0; i < c->fd_count; i++)
        close(c->fds[i]);
    mem_free(c->octets);
    mem_free(c);
}

static struct chunk *
first_chunk(const struct outbox *out)
{
    return list_empty(&out->chunks)
        ? NULL
        : LIST_ENTRY(out->chunks.next, struct chunk, node);
}

void
outbox_fini(struct outbox *out)
{
    struct chunk *c;

    while ((c = first_chunk(out)) != NULL)
        chunk_free(c);
    out->octets = 0;
}

static struct chunk *
chunk_new(struct outbox *out, char *octets, size_t len, size_t cap)
{
    struct chunk *c = mem_alloc(sizeof(*c));

    *c = (struct chunk){ .octets = octets, .len = len, .cap = cap };
    list_append(&out->chunks, &c->node);
    return c;
}

/* The last chunk if n octets fit into it, else a new one. */
static struct chunk *
chunk_with_room(struct outbox *out, size_t n)
{
    if (!list_empty(&out->chunks)) {
        struct chunk *c = LIST_ENTRY(out->chunks.prev, struct chunk, node);

        if (c->cap - c->len >= n)
            return c;
    }
    return chunk_new(out, mem_resize(NULL, CHUNK), 0, CHUNK);
}

static void
chunk_add(struct chunk *c, const char *octets, size_t n)
{
    if (n > 0)
        memcpy(c->octets + c->len, octets, n);
    c->len += n;
}

void
outbox_add(struct outbox *out, struct msg *m, uint32_t number)
{
    struct frame f = {
        .length = (uint32_t)m->body.len,
        .type = (uint16_t)m->type,
        .fds = (uint16_t)m->fd_count,
        .number = number,
    };
    bool copy = m->body.len <= COPY_MAX;
    size_t need = FRAME_HEAD + (copy ? m->body.len : 0);
    char head[FRAME_HEAD];
    struct chunk *c;

    c = m->fd_count == 0 ? chunk_with_room(out, need)
                         : chunk_new(out, mem_resize(NULL, CHUNK), 0, CHUNK);
    memcpy(c->fds, m->fds, m->fd_count * sizeof(m->fds[0]));
    c->fd_count += m->fd_count;
    m->fd_count = 0;
    frame_encode(&f, head);
    chunk_add(c, head, sizeof(head));
    out->octets += FRAME_HEAD + m->body.len;
    if (copy) {
        chunk_add(c, m->body.ptr, m->body.len);
    } else {
        chunk_new(out, m->body.ptr, m->body.len, m->body.len);
        m->body.ptr = NULL;
    }
    msg_fini(m);
}

static void
consume(struct outbox *out, size_t n)
{
    out->octets -= n;
    while (n > 0) {
        struct chunk *c = first_chunk(out);
        size_t left = c->len - c->sent;

        if (n < left) {
            c->sent += n;
            return;
        }
        n -= left;
        chunk_free(c);
    }
}

static ssize_t
send_with_fds(struct chunk *c, int fd)
{
    ssize_t n = sock_send_fds(fd, (struct slice){ c->octets, c->len }, c->fds,
        c->fd_count);

    if (n > 0) { /* the kernel holds its own now */
        for (unsigned i = 0; i < c->fd_count; i++)
            close(c->fds[i]);
        c->fd_count = 0;
    }
    return n;
}

/* All chunks up to the next that has descriptors. */
static ssize_t
send_plain(struct outbox *out, int fd)
{
    struct iovec iov[WRITE_CHUNKS_MAX];
    struct msghdr msg = { .msg_iov = iov };

    list_foreach (it, &out->chunks) {
        struct chunk *c = LIST_ENTRY(it, struct chunk, node);

        if (c->fd_count > 0 || msg.msg_iovlen == WRITE_CHUNKS_MAX)
            break;
        iov[msg.msg_iovlen++] = (struct iovec){ c->octets + c->sent,
            c->len - c->sent };
    }
    return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

enum outbox_status
outbox_write(struct outbox *out, int fd)
{
    struct chunk *c;

    while ((c = first_chunk(out)) != NULL) {
        ssize_t n = c->fd_count > 0 ? send_with_fds(c, fd)
                                    : send_plain(out, fd);

        if (n > 0)
            consume(out, (size_t)n);
        else if (n == 0 || errno == EAGAIN)
            return OUTBOX_FULL;
        else if (errno != EINTR)
            return OUTBOX_ERROR;
    }
    return OUTBOX_EMPTY;
}
