/*
 * link - one stream socket between two processes, many requests at a time.
 *
 * What one turn of the loop produces goes out in one write; replies are matched
 * by number. A frame that breaks a rule of protocol.h drops the link with one
 * log line that names peer, message and rule; requests under way then end with
 * LINK_GONE, and on_gone is called once.
 *
 * Everything here belongs to the thread that opened the link.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/ipc/protocol.h"

#include <stdbool.h>
#include <stdint.h>

struct link;

/*
 * A message being built. Descriptors put into it are owned by it. body may
 * grow to what the message's rule allows: ask buf_failed() before sending what
 * a peer may have made large; a failed message is not sent, and ends the link.
 */
enum { MSG_FDS_MAX = 4 };
struct msg {
    enum message type;
    struct buf body; /* attributes: use tlv_put() */
    int fds[MSG_FDS_MAX];
    unsigned fd_count;
};
void msg_init(struct msg *m, enum message type) ATTR_NONNULL;
void msg_put_fd(struct msg *m, int fd) ATTR_NONNULL;
void msg_fini(struct msg *m) ATTR_NONNULL; /* also closes descriptors */

/* A message that arrived. body is owned memory; see msg_in_take_fd(). */
struct msg_in {
    enum message type;
    uint32_t number;
    struct slice body;
    int fds[MSG_FDS_MAX]; /* -1 where taken */
    unsigned fd_count;
};
void msg_in_free(struct msg_in *m); /* closes what was not taken */
int msg_in_take_fd(struct msg_in *m, unsigned index) ATTR_NONNULL;

/* A request from the peer, waiting for our answer. */
struct request {
    struct link *link; /* NULL once the link is gone: the answer is dropped */
    struct msg_in *in; /* ours; freed when the request is ended */
    void *context;     /* of the link; NULL once the link is gone */
};

/*
 * Serves one message. A request must be ended, now or later and on any fiber of
 * this thread, by request_reply() (any number of request_item() before, for
 * KIND_STREAM) or request_drop(). For KIND_ONE_WAY call request_drop().
 */
typedef void (*link_serve_fn)(struct request *r);

enum link_serve_mode {
    SERVE_FIBER,  /* on a fiber of its own: may wait */
    SERVE_INLINE, /* at once, on the link's reading fiber: must not wait */
};

struct link_handler {
    enum message type;
    link_serve_fn serve;
    enum link_serve_mode mode;
};

struct link_options {
    enum role self, peer;
    const char *peer_name; /* for the log, such as "smtpd 2"; copied */
    const struct link_handler *handlers; /* ends with type MESSAGE_NONE */
    void *context;
    void (*on_gone)(struct link *l, void *context); /* may be NULL */
    /*
     * A gate on what the peer may say in its present state: NULL, or returns
     * false to drop the link.
     */
    bool (*may)(void *context, enum message type);
    /*
     * Octets of requests not yet ended at which reading pauses until some are:
     * for those who are handed much and ask nothing of the peer in order to
     * serve it. 0: no pause; the link is dropped at LINK_HELD_MAX.
     */
    size_t pause_at;
    /* What the peer asks of us waits until link_release(). */
    bool hold;
};

enum {
    LINK_REQUESTS_MAX = 1000000,         /* of a peer, not yet ended */
    LINK_FIBERS_MAX = 20000,             /* the others wait for their turn */
    LINK_HELD_MAX = 1024 * 1024 * 1024,  /* octets of such requests */
    LINK_BACKLOG_MAX = 64 * 1024 * 1024, /* octets not taken by the peer */
    LINK_ROOM = 1024 * 1024,             /* below it is room for items */
};

/*
 * Takes over fd. The link starts reading on a fiber of its own. Freed by
 * link_close() or, after on_gone, by itself. NULL, and fd closed, only when
 * there is no memory or descriptor to spare.
 */
struct link *link_open(int fd, const struct link_options *options)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Sends what is pending if the socket takes it, then ends the link: calls under
 * way get LINK_GONE, those of link_ask() NULL before this returns; on_gone is
 * not called. NULL is welcome.
 */
void link_close(struct link *l);

/* What the peer says in a message of that type breaks a rule: see on_gone. */
void link_drop(struct link *l, enum message type, const char *rule)
    ATTR_NONNULL;

/* From now on serve what the peer asks, first what has waited. */
void link_release(struct link *l) ATTR_NONNULL;

enum role link_peer(const struct link *l) ATTR_NONNULL;
const char *link_peer_name(const struct link *l) ATTR_NONNULL;

/* Requests of the peer that are not yet ended. */
size_t link_requests(const struct link *l) ATTR_NONNULL;

/* Octets not yet taken by the socket. */
size_t link_backlog(const struct link *l) ATTR_NONNULL;

enum link_status {
    LINK_OK,
    LINK_GONE,      /* the peer died or was dropped; the outcome is unknown */
    LINK_TIMEOUT,   /* the outcome is unknown; a late answer is dropped */
    LINK_CANCELLED, /* our fiber was cancelled */
};

/*
 * Send m (emptied in any case) and wait for its answer, which the caller frees
 * with msg_in_free(). Waits.
 */
enum link_status link_call(struct link *l, struct msg *m, int64_t deadline,
    struct msg_in **answer) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Send m (emptied) and have done(answer, context) called when the answer is
 * there, on the link's reading fiber (it must not wait; it owns answer), or
 * with NULL when the link is gone; never from inside this call. For those who
 * dispatch thousands without a fiber each. For KIND_STREAM done is called for
 * each item, and last for the answer.
 */
typedef void (*link_done_fn)(struct msg_in *answer, void *context);
void link_ask(struct link *l, struct msg *m, link_done_fn done, void *context)
    __attribute__((nonnull(1, 2, 3)));

/*
 * The same for a peer that may live and never answer: when it has not by the
 * deadline, the link is dropped with a log line that says so. Not for
 * KIND_STREAM.
 */
void link_ask_until(struct link *l, struct msg *m, int64_t deadline,
    link_done_fn done, void *context) __attribute__((nonnull(1, 2, 4)));

/* Send a KIND_ONE_WAY message. */
void link_send(struct link *l, struct msg *m) ATTR_NONNULL;

/*
 * Take the message over from r, which can still be answered: for those who keep
 * its octets beyond the answer. They do not count as held by the peer any more.
 */
struct msg_in *request_take_in(struct request *r) ATTR_NONNULL ATTR_MUST_USE;

/* The answer, which is emptied; r is gone afterwards. */
void request_reply(struct request *r, struct msg *answer) ATTR_NONNULL;
void request_item(struct request *r, struct msg *item) ATTR_NONNULL;
void request_drop(struct request *r) ATTR_NONNULL;

/* Wait while the peer of r is slow to take its items. LINK_GONE: give up. */
enum link_status request_wait_room(struct request *r, int64_t deadline)
    ATTR_NONNULL;

/*
 * For commands and workers: no scheduler, one request at a time, blocking.
 * wire_recv() drops nothing: a malformed frame is RESULT_PERMFAIL.
 */
enum result wire_send(int fd, struct msg *m, uint32_t number, int64_t deadline,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
enum result wire_recv(int fd, int64_t deadline, struct msg_in **in,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
