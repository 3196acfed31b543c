#include "qmgr/console.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/sock.h"
#include "lib/mail/user_access.h"
#include "qmgr/console_private.h"

#include <unistd.h>

enum {
    IDLE_MS = 60 * 1000,  /* a user's command that asks nothing is left */
    CALLS_OF_USER = 20,   /* at the same time; the admin may have more */
    WALKS_OF_USER = 2,    /* likewise, through the whole queue */
    RIGHT_MS = 30 * 1000, /* a table may be asked for his name */
};

/* All commands that are connected; and whether it is time to leave. */
static struct list all = LIST_INIT(all);
static bool ending;
static struct fiber_cond walked = { LIST_INIT(walked.waiters) };

void
console_done(struct request *r, uint64_t count)
{
    struct queue_done d = { .count = count };
    struct msg m;

    queue_done_encode(&d, &m);
    request_reply(r, &m);
}

static void
refuse(struct request *r, const struct why *why)
{
    struct queue_done d = { .result = RESULT_PERMFAIL, .why = *why };
    struct msg m;

    queue_done_encode(&d, &m);
    request_reply(r, &m);
}

void
console_refuse(struct request *r, const char *text)
{
    struct why why;

    (void)why_perm(&why, "5.7.0", "%s", text);
    refuse(r, &why);
}

static size_t
count_walks(uid_t uid)
{
    size_t n = 0;

    list_foreach (it, &all) {
        const struct console *c = LIST_ENTRY(it, struct console, link);

        n += c->uid == uid && c->walking;
    }
    return n;
}

bool
console_walk_begin(struct console *c, struct request *r)
{
    while (r->link != NULL && !c->may_edit && !ending &&
        count_walks(c->uid) >= WALKS_OF_USER)
        if (fiber_cond_wait(&walked, clock_now_ms() + CONSOLE_ROOM_MS) !=
            WAIT_OK)
            return false;
    c->walking = true;
    return r->link != NULL && !ending;
}

void
console_walk_end(struct console *c)
{
    c->walking = false;
    fiber_cond_broadcast(&walked);
}

/* The connection. */

/* Offline nobody can be asked, but then we are the admin's. */
static bool
may(const struct console *c, enum message type, struct why *why)
{
    struct config_set *set;
    enum user_right right = USER_MAY_LIST;
    enum result res;

    if (c->may_edit)
        return true;
    if (type == MESSAGE_QUEUE_FLUSH)
        right = USER_MAY_FLUSH;
    else if (type != MESSAGE_QUEUE_LIST && type != MESSAGE_QUEUE_DESTINATIONS)
        return true; /* it is refused there */
    set = config_hold(c->q->set);
    res = user_access_ask(config_main(set), right, c->uid,
        clock_now_ms() + RIGHT_MS, why);
    config_drop(set);
    return res == RESULT_OK;
}

/* What a command asks; the console stays while something is under way. */
static void
serve(struct request *r)
{
    static void (*const tasks[])(struct console * c, struct request * r) = {
        [MESSAGE_QUEUE_LIST] = console_list,
        [MESSAGE_QUEUE_EDIT] = console_edit,
        [MESSAGE_QUEUE_FLUSH] = console_flush,
        [MESSAGE_QUEUE_CAT] = console_cat,
        [MESSAGE_QUEUE_DESTINATIONS] = console_destinations,
        [MESSAGE_QUEUE_ADOPT] = console_adopt,
    };
    struct console *c = r->context;
    struct why why;

    c->serving++;
    if (may(c, r->in->type, &why))
        tasks[r->in->type](c, r);
    else
        refuse(r, &why);
    c->serving--;
    c->asked = false;
    fiber_cond_broadcast(&c->gone);
}

/*
 * One thing at a time, as our commands have it: each may take memory, and anybody
 * may be at the other end.
 */
static bool
may_ask(void *context, enum message type)
{
    struct console *c = context;

    (void)type;
    if (c->asked)
        return false;
    c->asked = true;
    return true;
}

static const struct link_handler handlers[] = {
    { MESSAGE_QUEUE_LIST, serve, SERVE_FIBER },
    { MESSAGE_QUEUE_EDIT, serve, SERVE_FIBER },
    { MESSAGE_QUEUE_FLUSH, serve, SERVE_FIBER },
    { MESSAGE_QUEUE_CAT, serve, SERVE_FIBER },
    { MESSAGE_QUEUE_DESTINATIONS, serve, SERVE_FIBER },
    { MESSAGE_QUEUE_ADOPT, serve, SERVE_FIBER },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

static void
on_gone(struct link *l, void *context)
{
    struct console *c = context;

    (void)l;
    c->ended = true;
    fiber_cond_broadcast(&c->gone);
}

static bool
is_admin(uid_t uid)
{
    return uid == 0 || uid == geteuid();
}

static size_t
count_calls(uid_t uid)
{
    size_t n = 0;

    list_foreach (it, &all)
        n += LIST_ENTRY(it, struct console, link)->uid == uid;
    return n;
}

/* Until the command has gone; or, a user's, has had nothing to ask for long. */
static void
wait_for_end(struct console *c, struct link *l)
{
    bool late = false;

    while (!c->ended || c->serving > 0) {
        int64_t deadline = c->may_edit ? CLOCK_NEVER : clock_now_ms() + IDLE_MS;

        if ((late || ending) && !c->asked) {
            link_close(l);
            return;
        }
        late = fiber_cond_wait(&c->gone, deadline) == WAIT_TIMEOUT;
    }
}

void
console_serve(int fd, struct qmgr *q, enum console_mode mode)
{
    struct console *c = mem_alloc(sizeof(*c));
    struct link_options options = {
        .self = ROLE_QMGR,
        .peer = ROLE_COMMAND,
        .peer_name = "command",
        .handlers = handlers,
        .context = c,
        .on_gone = on_gone,
        .may = may_ask,
    };
    struct link *l = NULL;
    gid_t gid;
    pid_t pid;

    c->q = q;
    c->mode = mode;
    fiber_cond_init(&c->gone);
    list_init(&c->link);
    if (mode == CONSOLE_OFFLINE || !sock_peer_cred(fd, &c->uid, &gid, &pid))
        c->uid = (uid_t)-1;
    c->may_edit = mode == CONSOLE_OFFLINE || is_admin(c->uid);
    if (c->may_edit || count_calls(c->uid) < CALLS_OF_USER)
        l = link_open(fd, &options);
    else
        close(fd);
    if (l != NULL) {
        list_append(&all, &c->link);
        wait_for_end(c, l);
        list_remove(&c->link);
    }
    mem_free(c);
}

void
console_end(void)
{
    ending = true;
    fiber_cond_broadcast(&walked);
    list_foreach (it, &all)
        fiber_cond_broadcast(&LIST_ENTRY(it, struct console, link)->gone);
}
