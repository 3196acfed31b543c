/*
 * link_ends - what tests of links share: both ends of one in this process, with
 * handlers for some messages, and a scheduler to run them in.
 */
#pragma once

#include "lib/base/clock.h"
#include "lib/base/tlv.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"
#include "lib/ipc/link.h"
#include "tests/unit/kept_log.h"

#include <assert.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/*
 * A failed cmocka assertion jumps, which it must not do on a fiber's stack:
 * fibers note the first failure, and the test asserts on it when they are done.
 */
static int failed_line;
#define CHECK(cond)                      \
    do {                                 \
        if (!(cond) && failed_line == 0) \
            failed_line = __LINE__;      \
    } while (0)

static inline void
run(fiber_fn fn, void *arg)
{
    failed_line = 0;
    logged[0] = '\0';
    log_set_sink(keep_log, NULL, NULL);
    sched_open();
    assert_non_null(fiber_spawn("test", fn, arg));
    sched_run();
    sched_close();
    log_set_sink(NULL, NULL, NULL);
    if (failed_line != 0)
        fail_msg("line %d; log: %s", failed_line, logged);
}

/* One end of a link, and what happened to it. */
struct end {
    struct link *link;
    int gone;
    unsigned served;
    struct request *kept[110];
    unsigned kept_count;
};

static inline void
count_gone(struct link *l, void *context)
{
    struct end *e = context;

    CHECK(e->link == l);
    e->link = NULL;
    e->gone++;
}

static inline void
open_end(struct end *e, int fd, enum role self, enum role peer,
    const struct link_handler *handlers)
{
    struct link_options options = {
        .self = self,
        .peer = peer,
        .peer_name = role_name(peer),
        .handlers = handlers,
        .context = e,
        .on_gone = count_gone,
    };

    *e = (struct end){ .link = link_open(fd, &options) };
    CHECK(e->link != NULL);
}

static inline void
open_pair(struct end *a, struct end *b, enum role a_role, enum role b_role,
    const struct link_handler *handlers)
{
    int fds[2];

    CHECK(sock_pair(fds) == 0);
    open_end(a, fds[0], a_role, b_role, NULL);
    open_end(b, fds[1], b_role, a_role, handlers);
}

static inline int64_t
soon(void)
{
    return clock_now_ms() + 60000; /* a busy machine, and a sanitizer */
}

/* Let what is runnable run, until nothing more comes of it. */
static inline void
settle(void)
{
    for (int i = 0; i < 20; i++)
        (void)fiber_sleep_until(clock_now_ms() + 1);
}

static inline uint64_t
count_of(const struct msg_in *in)
{
    struct slice rest = in->body;
    struct tlv t;
    uint64_t n = 0;

    while (tlv_next(&rest, &t))
        if (t.tag == ATTR_COUNT && !tlv_u64(t.value, UINT64_MAX, &n))
            n = 0;
    return n;
}

static inline void
put_count(struct msg *m, enum message type, uint64_t n)
{
    msg_init(m, type);
    tlv_put_u64(&m->body, ATTR_COUNT, n);
}

/* Answers LEASE with twice its number. */
static inline void
serve_lease(struct request *r)
{
    struct msg answer;

    assert(r != NULL);
    ((struct end *)r->context)->served++;
    put_count(&answer, MESSAGE_LEASED, 2 * count_of(r->in));
    request_reply(r, &answer);
}

static inline void
serve_lease_late(struct request *r)
{
    (void)fiber_sleep_until(clock_now_ms() + 1);
    serve_lease(r);
}

static inline void
keep_request(struct request *r)
{
    struct end *e = r->context;

    e->kept[e->kept_count++] = r;
}

static const struct link_handler lease_inline[] = {
    { MESSAGE_LEASE, serve_lease, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};
static const struct link_handler lease_fiber[] = {
    { MESSAGE_LEASE, serve_lease_late, SERVE_FIBER },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};
static const struct link_handler keep_all[] = {
    { MESSAGE_LEASE, keep_request, SERVE_INLINE },
    { MESSAGE_SUBMIT, keep_request, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

enum { MANY = 20000 };
struct many {
    uint64_t answered, sum;
};

static inline void
many_done(struct msg_in *answer, void *context)
{
    struct many *m = context;

    CHECK(answer != NULL);
    if (answer != NULL) {
        m->answered++;
        CHECK(count_of(answer) == 2 * m->answered); /* in order */
        m->sum += count_of(answer);
    }
    msg_in_free(answer);
}

struct waiting_call {
    struct end *a;
    enum link_status status;
    bool done;
};

static inline void
waiting_call_fiber(void *arg)
{
    struct waiting_call *w = arg;
    struct msg m;
    struct msg_in *answer = NULL;

    put_count(&m, MESSAGE_LEASE, 1);
    w->status = link_call(w->a->link, &m, soon(), &answer);
    msg_in_free(answer);
    w->done = true;
}

static inline void
note_null(struct msg_in *answer, void *context)
{
    CHECK(answer == NULL);
    (*(int *)context)++;
}

/* Descriptors that are open, for those who must leave none behind. */
static inline int
count_fds(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            n++;
    return n;
}
