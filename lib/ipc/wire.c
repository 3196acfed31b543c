/*
 * The blocking end of the protocol: commands and workers, without a scheduler.
 */
#include "lib/base/clock.h"
#include "lib/io/sock.h"
#include "lib/ipc/frame.h"
#include "lib/ipc/inbox.h"
#include "lib/ipc/link.h"
#include "lib/ipc/outbox.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

static enum result
wait_for(int fd, short events, int64_t deadline, struct why *why)
{
    for (;;) {
        struct pollfd p = { .fd = fd, .events = events };
        int64_t left = deadline - clock_now_ms();
        int n;

        if (left <= 0)
            return why_temp(why, "4.4.2", "no answer in time");
        n = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
        if (n > 0)
            return RESULT_OK;
        if (n < 0 && errno != EINTR)
            return why_errno(why, "poll");
    }
}

enum result
wire_send(int fd, struct msg *m, uint32_t number, int64_t deadline,
    struct why *why)
{
    struct outbox out;
    enum result res = RESULT_OK;

    if (buf_failed(&m->body)) {
        msg_fini(m);
        return why_perm(why, "5.3.4", "%s: too large",
            message_rule(m->type)->name);
    }
    outbox_init(&out);
    outbox_add(&out, m, number);
    while (res == RESULT_OK) {
        enum outbox_status st = outbox_write(&out, fd);

        if (st == OUTBOX_EMPTY)
            break;
        res = st == OUTBOX_ERROR ? why_errno(why, "write")
                                 : wait_for(fd, POLLOUT, deadline, why);
    }
    outbox_fini(&out);
    return res;
}

/* What has arrived of one frame. */
struct receiving {
    char head[FRAME_HEAD];
    int fds[SOCK_FDS_MAX];
    unsigned fd_count;
};

static enum result
receive(int fd, struct receiving *r, char *to, size_t size, int64_t deadline,
    struct why *why)
{
    size_t have = 0;

    while (have < size) {
        int fds[SOCK_FDS_MAX];
        unsigned count = 0;
        ssize_t n;
        enum result res = wait_for(fd, POLLIN, deadline, why);

        if (res != RESULT_OK)
            return res;
        n = sock_recv_fds(fd, to + have, size - have, fds, &count);
        if (n == 0)
            return why_temp(why, "4.4.2", "the other end closed");
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (n < 0)
            return why_errno(why, "read");
        have += (size_t)n;
        for (unsigned i = 0; i < count; i++)
            if (r->fd_count < SOCK_FDS_MAX)
                r->fds[r->fd_count++] = fds[i];
            else
                close(fds[i]);
    }
    return RESULT_OK;
}

static const char *
refuse(const struct frame *f, const struct receiving *r)
{
    const struct message_rule *rule = message_rule(f->type);

    if (rule == NULL)
        return "no such message";
    if (f->length > rule->octets)
        return "too long";
    if (f->fds > rule->fds || f->fds != r->fd_count)
        return "wrong count of descriptors";
    return NULL;
}

enum result
wire_recv(int fd, int64_t deadline, struct msg_in **in, struct why *why)
{
    struct receiving r = { .fd_count = 0 };
    struct msg_in *m = NULL;
    struct frame f;
    const char *rule;
    enum result res = receive(fd, &r, r.head, sizeof(r.head), deadline, why);

    if (res != RESULT_OK)
        goto undo;
    frame_decode((struct slice){ r.head, sizeof(r.head) }, &f);
    rule = refuse(&f, &r);
    if (rule != NULL) {
        char text[FRAME_NAME_MAX];

        res = why_perm(why, "5.3.0", "%s: %s", frame_name(f.type, text), rule);
        goto undo;
    }
    m = msg_in_new(f.type, f.number, f.length);
    if (m == NULL) {
        res = why_temp(why, "4.3.0", "no memory for %u octets", f.length);
        goto undo;
    }
    res = receive(fd, &r, msg_in_body(m), f.length, deadline, why);
    if (res == RESULT_OK && r.fd_count != f.fds)
        res = why_perm(why, "5.3.0", "descriptors that no frame claims");
    if (res != RESULT_OK)
        goto undo;
    for (unsigned i = 0; i < r.fd_count; i++)
        m->fds[i] = r.fds[i];
    m->fd_count = r.fd_count;
    *in = m;
    return RESULT_OK;
undo:
    msg_in_free(m);
    for (unsigned i = 0; i < r.fd_count; i++)
        close(r.fds[i]);
    return res;
}
