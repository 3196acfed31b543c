#include "lib/ipc/link.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/io/sock.h"
#include "lib/ipc/frame.h"
#include "lib/ipc/link_private.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

enum { TURN_OCTETS = 2048 };

void
link_ref(struct link *l)
{
    l->users++;
}

void
link_unref(struct link *l)
{
    if (--l->users > 0)
        return;
    inbox_fini(&l->in);
    outbox_fini(&l->out);
    map_fini(&l->calls);
    mem_free(l->peer_name);
    mem_free(l);
}

static void
io_unref(struct link *l)
{
    if (--l->io_users == 0) {
        io_wait_fini(&l->wait);
        close(l->fd);
        l->fd = -1;
    }
    link_unref(l);
}

/* Have the reader end it. */
static void
break_off(struct link *l)
{
    if (!link_is_up(l))
        return;
    l->broken = true;
    if (l->reader != NULL && l->reader != fiber_self())
        fiber_cancel(l->reader);
}

void
link_break_with(struct link *l, uint32_t type, const char *rule)
{
    char text[FRAME_NAME_MAX];

    if (link_is_up(l))
        log_warning("link to %s dropped: %s: %s", l->peer_name,
            type == MESSAGE_NONE ? "frame" : frame_name(type, text), rule);
    break_off(l);
}

void
link_drop(struct link *l, enum message type, const char *rule)
{
    link_break_with(l, type, rule);
}

/* Writing. */

bool
link_has_room(const struct link *l)
{
    return l->out.octets < LINK_ROOM;
}

/* False when there is something left for which the socket has no room. */
static bool
write_out(struct link *l)
{
    switch (outbox_write(&l->out, l->fd)) {
    case OUTBOX_FULL:
        if (link_has_room(l))
            fiber_cond_broadcast(&l->room);
        return false;
    case OUTBOX_ERROR:
        /*
         * The peer's last words may still be in our receive buffer: the
         * reader finds the end behind them.
         */
        l->deaf = true;
        outbox_fini(&l->out);
        (void)shutdown(l->fd, SHUT_RDWR);
        break;
    case OUTBOX_EMPTY:
        break;
    }
    fiber_cond_broadcast(&l->room);
    return true;
}

static void
writer_main(void *arg)
{
    struct link *l = arg;

    while (!l->ended && io_wait_writable(&l->wait, CLOCK_NEVER) == WAIT_OK &&
        !l->ended)
        if (write_out(l))
            break;
    l->writer = NULL;
    io_unref(l);
}

/* At the end of each turn. */
static void
write_turn(void *context)
{
    struct link *l = context;

    if (l->out.octets == 0 || l->writer != NULL || l->ended || write_out(l))
        return;
    l->writer = fiber_spawn("link writer", writer_main, l);
    if (l->writer == NULL) {
        break_off(l);
        return;
    }
    l->io_users++;
    l->users++;
}

/* m is emptied. False when it cannot be sent and the link is or will be gone. */
bool
link_send_out(struct link *l, struct msg *m, uint32_t number)
{
    const struct message_rule *rule = message_rule(m->type);

    assert((rule->from & ROLE_BIT(l->options.self)) != 0);
    assert((rule->to & ROLE_BIT(l->options.peer)) != 0);
    if (!link_is_up(l) || l->deaf) {
        msg_fini(m);
        return false;
    }
    if (buf_failed(&m->body)) {
        link_break_with(l, m->type, "we have one that is too large");
        msg_fini(m);
        return false;
    }
    outbox_add(&l->out, m, number);
    if (l->out.octets > LINK_BACKLOG_MAX) {
        link_break_with(l, m->type, "the peer does not take what we send");
        return false;
    }
    return true;
}

enum link_status
link_status_of_wait(enum wait_result wait)
{
    switch (wait) {
    case WAIT_TIMEOUT:
        return LINK_TIMEOUT;
    case WAIT_CANCELLED:
        return LINK_CANCELLED;
    case WAIT_OK:
        break;
    }
    return LINK_OK;
}

/* Reading. */

bool
link_is_up(const struct link *l)
{
    return !l->broken && !l->ended;
}

static void
take_message(struct link *l, struct msg_in *m)
{
    switch (message_rule(m->type)->kind) {
    case KIND_ANSWER:
    case KIND_ITEM:
        link_take_answer(l, m);
        return;
    case KIND_REQUEST:
    case KIND_STREAM:
    case KIND_ONE_WAY:
        link_take_request(l, m);
        return;
    }
}

/* Other links wait no longer than it takes to serve so many octets of this. */
static void
share_turn(size_t *octets, size_t more)
{
    *octets += more;
    if (*octets < TURN_OCTETS)
        return;
    fiber_yield();
    *octets = 0;
}

/* All messages of the buffer. False at the end of the link. */
static bool
take_messages(struct link *l)
{
    size_t octets = 0, more = 0;
    struct msg_in *m;

    for (; link_is_up(l); share_turn(&octets, more)) {
        switch (inbox_next(&l->in, &m)) {
        case INBOX_MORE:
            return true;
        case INBOX_BROKEN:
            link_break_with(l, l->in.broken_type, l->in.broken_rule);
            return false;
        case INBOX_MESSAGE:
            more = FRAME_HEAD + m->body.len;
            take_message(l, m);
            break;
        }
        while (l->options.pause_at > 0 && link_is_up(l) &&
            l->served_octets > l->options.pause_at)
            if (fiber_cond_wait(&l->resume, CLOCK_NEVER) != WAIT_OK)
                return false;
    }
    return false;
}

/* Read once and serve what came. False at the end of the link. */
static bool
read_turn(struct link *l)
{
    int fds[SOCK_FDS_MAX];
    unsigned count = 0;
    size_t size;
    void *room = inbox_room(&l->in, &size);
    ssize_t n = sock_recv_fds(l->fd, room, size, fds, &count);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        if (n < 0 && errno == EBADMSG)
            link_break_with(l, MESSAGE_NONE, "too many descriptors");
        return false;
    }
    if (n < 0)
        return errno == EINTR ||
            io_wait_readable(&l->wait, CLOCK_NEVER) == WAIT_OK;
    inbox_add(&l->in, (size_t)n, fds, count);
    if (!take_messages(l))
        return false;
    /*
     * A short read has emptied the socket, unless it stopped at descriptors: a
     * call less. After a full one the others come first.
     */
    if ((size_t)n < size && count == 0)
        return io_wait_readable(&l->wait, CLOCK_NEVER) == WAIT_OK;
    fiber_yield();
    return true;
}

/* No more in or out; what waits on this link learns it. */
static void
end_link(struct link *l)
{
    if (l->ended)
        return;
    l->ended = true;
    sched_remove_hook(&l->hook);
    outbox_fini(&l->out);
    if (l->writer != NULL && l->writer != fiber_self())
        fiber_cancel(l->writer);
    link_fail_calls(l);
    link_orphan_requests(l);
    fiber_cond_broadcast(&l->room);
}

static void
reader_main(void *arg)
{
    struct link *l = arg;
    bool closed;

    while (link_is_up(l) && read_turn(l))
        ;
    closed = l->ended;
    l->reader = NULL;
    end_link(l);
    if (!closed && l->options.on_gone != NULL)
        l->options.on_gone(l, l->options.context);
    io_unref(l);
}

struct link *
link_open(int fd, const struct link_options *options)
{
    struct link *l = mem_alloc(sizeof(*l));

    *l = (struct link){
        .fd = fd,
        .options = *options,
        .hook = { .run = write_turn, .context = l },
        .io_users = 1,
        .users = 1,
    };
    l->peer_name = mem_text(options->peer_name);
    inbox_init(&l->in, options->self, options->peer);
    outbox_init(&l->out);
    map_init(&l->calls);
    calls_init(l);
    list_init(&l->unsent);
    list_init(&l->served);
    list_init(&l->waiting);
    fiber_cond_init(&l->room);
    fiber_cond_init(&l->resume);
    if (options->handlers != NULL)
        for (const struct link_handler *h = options->handlers;
             h->type != MESSAGE_NONE; h++)
            l->handlers[h->type] = h;
    if (io_wait_init(&l->wait, fd) < 0)
        goto fail;
    l->reader = fiber_spawn("link reader", reader_main, l);
    if (l->reader == NULL) {
        io_wait_fini(&l->wait);
        goto fail;
    }
    sched_add_hook(&l->hook);
    return l;
fail:
    close(fd);
    link_unref(l);
    return NULL;
}

void
link_close(struct link *l)
{
    if (l == NULL || l->ended)
        return;
    if (l->out.octets > 0 && !l->broken && !l->deaf)
        (void)write_out(l);
    end_link(l);
    if (l->reader != NULL && l->reader != fiber_self())
        fiber_cancel(l->reader);
    fiber_cond_broadcast(&l->resume);
}

enum role
link_peer(const struct link *l)
{
    return l->options.peer;
}

const char *
link_peer_name(const struct link *l)
{
    return l->peer_name;
}

size_t
link_requests(const struct link *l)
{
    return l->served_count;
}

size_t
link_backlog(const struct link *l)
{
    return l->out.octets;
}
