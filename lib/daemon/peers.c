#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon_private.h"
#include "lib/io/fiber.h"

#include <assert.h>
#include <stdio.h>

enum {
    /* qmgr needs nothing of those who hand it mail in order to take it. */
    QMGR_PAUSE = 64 * 1024 * 1024,
};

/* The process's links: set up by daemon_init(). */
static struct {
    const struct daemon_options *options;
    struct list by_role[ROLE_COUNT];
    struct fiber_cond up[ROLE_COUNT];
    bool released;
} peers;

void
peers_init(const struct daemon_options *options)
{
    peers.options = options;
    for (unsigned i = 0; i < ROLE_COUNT; i++) {
        list_init(&peers.by_role[i]);
        fiber_cond_init(&peers.up[i]);
    }
}

static void
peer_gone(struct link *l, void *context)
{
    struct peer *p = context;

    (void)l;
    list_remove(&p->node);
    if (peers.options->peer_gone != NULL)
        peers.options->peer_gone(p);
    mem_free(p);
}

static bool
may(void *context, enum message type)
{
    return peers.options->may(context, type);
}

void
peers_add(const struct control *c, int fd)
{
    struct peer *p = mem_alloc(sizeof(*p));
    char name[32];
    struct link_options options = {
        .self = peers.options->role,
        .peer = c->role,
        .peer_name = name,
        .handlers = peers.options->handlers,
        .context = p,
        .on_gone = peer_gone,
        .may = peers.options->may == NULL ? NULL : may,
        .pause_at = peers.options->role == ROLE_QMGR ? QMGR_PAUSE : 0,
        .hold = !peers.released,
    };

    snprintf(name, sizeof(name), "%s %u", role_name(c->role), c->index);
    p->role = c->role;
    p->index = c->index;
    p->process = c->process;
    p->elder = c->elder;
    p->link = link_open(fd, &options);
    if (p->link == NULL) { /* the peer sees its end close, master links anew */
        mem_free(p);
        return;
    }
    list_append(&peers.by_role[c->role], &p->node);
    if (peers.options->peer_up != NULL)
        peers.options->peer_up(p);
    fiber_cond_broadcast(&peers.up[c->role]);
}

void
peers_release(void)
{
    peers.released = true;
    for (unsigned i = 0; i < ROLE_COUNT; i++)
        list_foreach (it, &peers.by_role[i])
            link_release(LIST_ENTRY(it, struct peer, node)->link);
}

/* Nothing is asked of us that we owe an answer, and no answer lies here. */
static bool
all_answered(void)
{
    for (unsigned i = 0; i < ROLE_COUNT; i++)
        list_foreach (it, &peers.by_role[i]) {
            const struct link *l = LIST_ENTRY(it, struct peer, node)->link;

            if (link_requests(l) > 0 || link_backlog(l) > 0)
                return false;
        }
    return true;
}

void
peers_close(int64_t deadline)
{
    enum { LOOK_MS = 5 };

    while (!all_answered() && clock_now_ms() < deadline)
        (void)fiber_sleep_until(clock_now_ms() + LOOK_MS);
    for (unsigned i = 0; i < ROLE_COUNT; i++)
        list_foreach (it, &peers.by_role[i])
            link_close(LIST_ENTRY(it, struct peer, node)->link);
}

struct list *
daemon_peers(enum role role)
{
    return &peers.by_role[role];
}

/* Highest random weight: a peer that comes or goes moves only its own share. */
struct peer *
daemon_peer(enum role role, uint64_t hash)
{
    struct peer *best = NULL;
    uint64_t best_weight = 0;

    list_foreach (it, &peers.by_role[role]) {
        struct peer *p = LIST_ENTRY(it, struct peer, node);
        uint64_t weight = map_hash_u64(hash ^ map_hash_u64(p->index));

        if (best == NULL || weight > best_weight) {
            best = p;
            best_weight = weight;
        }
    }
    return best;
}

/* Until a process of that role is linked: LINK_OK. */
static enum link_status
wait_for_peer(enum role role, int64_t deadline)
{
    while (list_empty(&peers.by_role[role])) {
        switch (fiber_cond_wait(&peers.up[role], deadline)) {
        case WAIT_OK:
            break;
        case WAIT_TIMEOUT:
            return LINK_TIMEOUT;
        case WAIT_CANCELLED:
            return LINK_CANCELLED;
        }
    }
    return LINK_OK;
}

/* The one that was linked longest ago goes to the back: each gets its share. */
static struct peer *
next_peer(enum role role)
{
    struct list *first = list_take(&peers.by_role[role]);

    list_append(&peers.by_role[role], first);
    return LIST_ENTRY(first, struct peer, node);
}

enum link_status
daemon_call(enum role role, struct msg *m, bool again, int64_t deadline,
    struct msg_in **answer)
{
    enum link_status st;

    assert(m->fd_count == 0);
    do {
        struct msg copy;

        st = wait_for_peer(role, deadline);
        if (st != LINK_OK)
            break;
        if (!again) {
            st = link_call(next_peer(role)->link, m, deadline, answer);
            break;
        }
        msg_init(&copy, m->type);
        buf_add(&copy.body, buf_slice(&m->body));
        st = link_call(next_peer(role)->link, &copy, deadline, answer);
    } while (st == LINK_GONE);
    msg_fini(m);
    return st;
}
