/* QUEUE_EDIT and QUEUE_FLUSH: what the admin does to messages. */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "qmgr/console_private.h"
#include "qmgr/edit.h"
#include "qmgr/roll.h"
#include "qmgr/view.h"

#include <string.h>

enum { PENDING_MAX = 4000 }; /* orders of one edit that are under way */

struct edit_session {
    struct edit edit;
    struct console *console;
    struct request *request;
    const struct queue_request *ask;
    unsigned states; /* that are edited: a set of 1 << entry_state */
    struct roll_filter filter;
    bool by_index;        /* the index alone says what the filter means */
    size_t waiting_below; /* the fiber is woken when so many are pending */
    struct fiber_cond progress;
    uint64_t count;
    struct view *views;
};

static void
name(struct edit_session *s, uint64_t id)
{
    struct msg m;

    s->count++;
    if ((s->ask->flags & QUEUE_NAME_EACH) == 0 || s->request->link == NULL)
        return;
    msg_init(&m, MESSAGE_QUEUE_ITEM);
    tlv_put_u64(&m.body, ATTR_ID, id);
    request_item(s->request, &m);
}

static void
edited(struct edit *edit, uint64_t id)
{
    struct edit_session *s = edit->owner;

    name(s, id);
    if (edit->pending <= s->waiting_below)
        fiber_cond_broadcast(&s->progress);
}

static void
wait_below(struct edit_session *s, size_t pending)
{
    s->waiting_below = pending;
    while (s->edit.pending > pending)
        (void)fiber_cond_wait(&s->progress, CLOCK_NEVER);
}

static unsigned
states_of(unsigned queues)
{
    static const struct {
        enum queue_name queue;
        enum entry_state state;
    } both[] = {
        { QUEUE_ACTIVE, ENTRY_ACTIVE },
        { QUEUE_INCOMING, ENTRY_INCOMING },
        { QUEUE_DEFERRED, ENTRY_DEFERRED },
        { QUEUE_HOLD, ENTRY_HELD },
        { QUEUE_CORRUPT, ENTRY_DAMAGED },
    };
    unsigned states = 0;

    for (size_t i = 0; i < sizeof(both) / sizeof(both[0]); i++)
        if ((queues & 1U << both[i].queue) != 0)
            states |= 1U << both[i].state;
    return states;
}

static void
edit_one(struct edit_session *s, uint64_t id)
{
    struct qmgr *q = s->console->q;
    struct entry *e = index_find(&q->index, id);
    enum edit_task task = (enum edit_task)s->ask->task;

    if (e == NULL)
        return;
    if ((s->ask->flags & QUEUE_DRY_RUN) == 0)
        (void)edit_message(q, e, task, s->states, &s->edit);
    else if (edit_may(e, task, s->states))
        name(s, id);
}

/* What the index says of the filter; what it cannot say is left to the disk. */
static bool
wants(const struct entry *e, const void *context)
{
    const struct edit_session *s = context;

    return edit_may(e, (enum edit_task)s->ask->task, s->states) &&
        roll_filter_wants(e, &s->filter);
}

/* Those that match, moved to the front; their count. Waits. */
static size_t
choose(struct edit_session *s, uint64_t *ids, size_t count)
{
    size_t n = 0;

    memset(s->views, 0, CONSOLE_BATCH * sizeof(*s->views));
    for (size_t i = 0; i < count; i++)
        s->views[i].id = ids[i];
    view_read(s->console->q, s->views, count, VIEW_ITEM, &s->ask->filter);
    for (size_t i = 0; i < count; i++) {
        if (s->views[i].found)
            ids[n++] = s->views[i].id;
        view_fini(s->console->q, &s->views[i]);
    }
    return n;
}

static void
edit_batch(struct edit_session *s, uint64_t *ids, size_t count)
{
    if (!s->by_index)
        count = choose(s, ids, count);
    for (size_t i = 0; i < count; i++)
        edit_one(s, ids[i]);
    if (s->edit.pending >= PENDING_MAX)
        wait_below(s, PENDING_MAX / 2);
    if (s->request->link != NULL)
        (void)request_wait_room(s->request, clock_now_ms() + CONSOLE_ROOM_MS);
    fiber_yield();
}

static void
edit_all(struct edit_session *s)
{
    uint64_t ids[CONSOLE_BATCH];
    size_t at = 0, count;
    struct roll roll;

    roll_call(s->console->q, s->ask->queues, wants, s, &roll);
    /* Whoever ends the command wants no more of it done. */
    while (s->request->link != NULL &&
        (count = roll_next(&roll, &at, ids, CONSOLE_BATCH)) > 0)
        edit_batch(s, ids, count);
    roll_fini(&roll);
}

/* Only those that are named, as far as the filter means them. */
static void
edit_some(struct edit_session *s)
{
    const struct queue_request *ask = s->ask;
    uint64_t ids[CONSOLE_BATCH];

    for (size_t at = 0; at < ask->id_count; at += CONSOLE_BATCH) {
        size_t n = ask->id_count - at;

        if (n > CONSOLE_BATCH)
            n = CONSOLE_BATCH;
        memcpy(ids, ask->ids + at, n * sizeof(*ids));
        edit_batch(s, ids, n);
    }
}

/* Ages are known without reading; so far the filter has been obeyed then. */
static void
set_filter(struct edit_session *s)
{
    struct queue_filter left = s->ask->filter;

    if (s->ask->id_count == 0)
        left.before_us = left.after_us = 0;
    s->by_index = queue_filter_is_empty(&left);
    roll_filter_init(&s->filter, &s->ask->filter);
}

static void
edit(struct edit_session *s)
{
    fiber_cond_init(&s->progress);
    s->edit.done = edited;
    s->edit.owner = s;
    s->states = states_of(s->ask->queues);
    s->views = mem_alloc_array(CONSOLE_BATCH, sizeof(*s->views));
    set_filter(s);
    if (s->ask->id_count == 0)
        edit_all(s);
    else
        edit_some(s);
    wait_below(s, 0);
    mem_free(s->views);
    console_done(s->request, s->count);
}

void
console_edit(struct console *c, struct request *r)
{
    struct queue_request *ask = mem_alloc(sizeof(*ask));
    struct edit_session s = { .console = c, .request = r, .ask = ask };

    fiber_shield();
    if (!c->may_edit)
        console_refuse(r, "use of this command is reserved for the superuser");
    else if (!queue_request_decode(r->in->body, ask) || ask->task == 0)
        console_refuse(r, "malformed request");
    else
        edit(&s);
    mem_free(ask);
}

/* QUEUE_FLUSH */

struct flush {
    struct qmgr *q;
    uint32_t site;
    uint64_t count;
};

static bool
may_go_there(const struct entry *e, const void *context)
{
    const struct flush *f = context;

    return e->site == 0 || e->site == f->site;
}

static void
flush_one(struct flush *f, uint64_t id)
{
    struct entry *e = index_find(&f->q->index, id);

    if (e == NULL)
        return;
    edit_flush(f->q, e);
    f->count++;
}

static void
flush_batch(struct flush *f, const uint64_t *ids, size_t count,
    const struct queue_filter *filter, struct view *views)
{
    size_t n = 0;

    memset(views, 0, CONSOLE_BATCH * sizeof(*views));
    for (size_t i = 0; i < count; i++) {
        const struct entry *e = index_find(&f->q->index, ids[i]);

        if (e != NULL && e->site == f->site)
            flush_one(f, ids[i]);
        else if (e != NULL)
            views[n++].id = ids[i];
    }
    if (n > 0)
        view_read(f->q, views, n, VIEW_ITEM, filter);
    for (size_t i = 0; i < n; i++) {
        if (views[i].found)
            flush_one(f, views[i].id);
        view_fini(f->q, &views[i]);
    }
    fiber_yield();
}

/* The index knows the site of most; where recipients are mixed, read it. */
static uint64_t
flush_site(struct qmgr *q, struct slice site)
{
    const struct queue_filter filter = { .domain = site };
    struct flush f = { .q = q, .site = index_site(site) };
    struct view *views = mem_alloc_array(CONSOLE_BATCH, sizeof(*views));
    uint64_t ids[CONSOLE_BATCH];
    size_t at = 0, count;
    struct roll roll;

    roll_call(q, 1U << QUEUE_DEFERRED, may_go_there, &f, &roll);
    while ((count = roll_next(&roll, &at, ids, CONSOLE_BATCH)) > 0)
        flush_batch(&f, ids, count, &filter, views);
    roll_fini(&roll);
    mem_free(views);
    return f.count;
}

static uint64_t
flush(struct qmgr *q, const struct queue_request *ask)
{
    struct entry *e;

    switch ((enum queue_flush)ask->task) {
    case QUEUE_FLUSH_ALL:
        edit_flush_all(q, fiber_yield);
        return 0;
    case QUEUE_FLUSH_ID:
        e = index_find(&q->index, ask->ids[0]);
        if (e != NULL)
            edit_flush(q, e);
        return e != NULL;
    case QUEUE_FLUSH_SITE:
        return flush_site(q, ask->site);
    }
    return 0;
}

void
console_flush(struct console *c, struct request *r)
{
    struct queue_request *ask = mem_alloc(sizeof(*ask));

    fiber_shield();
    if (!queue_request_decode(r->in->body, ask) || ask->task > QUEUE_FLUSH_SITE)
        console_refuse(r, "malformed request");
    else if (c->mode == CONSOLE_OFFLINE)
        console_refuse(r, "mail system is down");
    else if (!console_walk_begin(c, r))
        console_refuse(r, "too many commands of one user at a time");
    else
        console_done(r, flush(c->q, ask));
    console_walk_end(c);
    mem_free(ask);
}
