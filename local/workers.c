#include "local/workers.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/io/fiber.h"
#include "lib/ipc/link.h"

#include <sysexits.h>

enum {
    IDLE_MS = 10 * 1000, /* a worker without work is kept so long */
};

struct worker {
    struct map_node node;
    struct keeper_user user;
    struct link *link;
    unsigned busy; /* requests not answered */
    struct fiber_timer idle;
};

/* The brain's own: one thread. */
static struct {
    int keeper;
    struct map by_user;
} workers;

/*
 * Without the keeper there are no more workers, and it cannot be made anew: we
 * are no longer root. Somebody ended it, not the mail that is under way, so
 * that is what the status says.
 */
static void
leave_with_keeper(void *arg)
{
    struct io_wait wait;

    (void)arg;
    if (io_wait_init(&wait, workers.keeper) < 0)
        return;
    if (io_wait_readable(&wait, CLOCK_NEVER) == WAIT_OK) {
        log_error("the process that makes mailbox workers is gone: "
                  "starting anew");
        daemon_fail(EX_OK);
    }
    io_wait_fini(&wait);
}

bool
workers_open(int keeper)
{
    workers.keeper = keeper;
    map_init(&workers.by_user);
    return fiber_spawn("keeper", leave_with_keeper, NULL) != NULL;
}

static uint64_t
user_hash(const struct keeper_user *user)
{
    if (user->name[0] != '\0')
        return map_hash_slice(slice_of(user->name));
    return map_hash_u64((uint64_t)user->uid << 32 | user->gid);
}

static bool
same_user(const struct map_node *node, const void *key)
{
    const struct worker *w = LIST_ENTRY_CONST(node, struct worker, node);
    const struct keeper_user *user = key;

    return strcmp(w->user.name, user->name) == 0 && w->user.uid == user->uid &&
        w->user.gid == user->gid;
}

static void
forget(struct worker *w)
{
    map_remove(&workers.by_user, &w->node);
    fiber_timer_disarm(&w->idle);
    w->link = NULL;
    if (w->busy == 0)
        mem_free(w);
}

static void
worker_gone(struct link *l, void *context)
{
    (void)l;
    forget(context);
}

static void
idle_too_long(void *arg)
{
    struct worker *w = arg;
    struct link *link = w->link;

    forget(w);
    link_close(link);
}

static struct worker *
start_worker(const struct keeper_user *user, struct why *why)
{
    struct worker *w = mem_alloc(sizeof(*w));
    struct link_options options = {
        .self = ROLE_LOCAL,
        .peer = ROLE_WORKER,
        .peer_name = "mailbox worker",
        .context = w,
        .on_gone = worker_gone,
    };
    int fd;

    if (keeper_worker(workers.keeper, user, &fd, why) != RESULT_OK) {
        mem_free(w);
        return NULL;
    }
    w->user = *user;
    w->idle = (struct fiber_timer){ .fn = idle_too_long, .arg = w };
    w->link = link_open(fd, &options);
    if (w->link == NULL) {
        (void)why_temp(why, "4.3.0", "no memory for a mailbox worker");
        mem_free(w);
        return NULL;
    }
    map_add(&workers.by_user, user_hash(user), &w->node);
    return w;
}

static struct worker *
worker_of(const struct keeper_user *user, struct why *why)
{
    struct map_node *node = map_find(&workers.by_user, user_hash(user),
        same_user, user);

    if (node != NULL)
        return LIST_ENTRY(node, struct worker, node);
    return start_worker(user, why);
}

static void
release(struct worker *w)
{
    w->busy--;
    if (w->link == NULL && w->busy == 0)
        mem_free(w);
    else if (w->link != NULL && w->busy == 0)
        fiber_timer_arm(&w->idle, clock_now_ms() + IDLE_MS);
}

enum result
workers_store(const struct keeper_user *user, struct mailbox_store *s,
    int64_t deadline, struct why *why)
{
    struct worker *w = worker_of(user, why);
    enum link_status status;
    struct msg_in *answer;
    enum result res;
    struct msg m;

    if (w == NULL)
        return RESULT_TEMPFAIL;
    mailbox_store_encode(s, &m);
    if (buf_failed(&m.body)) {
        msg_fini(&m);
        return why_temp(why, "4.3.0", "message is too large for a worker");
    }
    fiber_timer_disarm(&w->idle);
    w->busy++;
    status = link_call(w->link, &m, deadline, &answer);
    release(w);
    if (status == LINK_TIMEOUT)
        return why_temp(why, "4.3.0", "mailbox worker timed out");
    if (status != LINK_OK)
        return why_temp(why, "4.3.0",
            "mailbox worker of user %s ended (not permitted to act as that "
            "user?)",
            user->name[0] != '\0' ? user->name : "by number");
    res = mailbox_stored_decode(answer->body, why);
    msg_in_free(answer);
    return res;
}
