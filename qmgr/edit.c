#include "qmgr/edit.h"

#include "qmgr/destination.h"
#include "qmgr/dispatch.h"
#include "qmgr/health.h"
#include "qmgr/ledger.h"
#include "qmgr/mail.h"
#include "qmgr/resolve.h"
#include "qmgr/round.h"

enum { FLUSH_TURN = 1000 }; /* buckets of the index */

void
edit_done(struct qmgr *q, struct edit *edit, uint64_t id)
{
    (void)q;
    edit->pending--;
    edit->done(edit, id);
}

bool
edit_is_held(const struct entry *e)
{
    return e->state == ENTRY_HELD || (e->message != NULL && e->message->hold);
}

/* The flags as they are now, on disk. */
static void
write_flags(struct qmgr *q, struct entry *e, struct edit *edit)
{
    edit->pending++;
    ledger_hold(q, e, edit_is_held(e), edit);
}

static void delete (struct qmgr *q, struct entry *e, struct edit *edit)
{
    struct mail *m = e->message;

    edit->pending++;
    if (m == NULL) {
        ledger_remove(q, e, edit);
        return;
    }
    m->doomed = true;
    m->edit = edit;
    if (m->begun)
        round_withdraw(q, m);
    job_fence_all(q, m);
    mail_touch(q, m);
}

static void
hold(struct qmgr *q, struct entry *e, struct edit *edit)
{
    struct mail *m = e->message;

    if (m == NULL) {
        entry_set_state(&q->index, e, ENTRY_HELD);
    } else {
        m->hold = true;
        m->again = false;
        if (m->begun)
            round_withdraw(q, m);
    }
    write_flags(q, e, edit);
}

/* Off hold if it is on hold, and tried at once. */
static void
try_now(struct qmgr *q, struct entry *e)
{
    struct mail *m = e->message;

    if (m == NULL) {
        round_schedule(q, e, qmgr_wall_ms());
        return;
    }
    m->hold = false;
    m->again = true;
}

static void
release(struct qmgr *q, struct entry *e, struct edit *edit)
{
    try_now(q, e);
    write_flags(q, e, edit);
}

/* What is not with an agent goes through clean-up again: bounce/requeue. */
static void
requeue(struct qmgr *q, struct entry *e, struct edit *edit)
{
    struct mail *m = e->message;

    e->flags |= ENTRY_REQUEUE;
    if (m != NULL)
        m->hold = false;
    else if (e->state != ENTRY_INCOMING)
        try_now(q, e);
    if (m != NULL && m->begun)
        round_withdraw(q, m);
    write_flags(q, e, edit);
}

/* It goes back when it is looked at next, as everybody's scripts expect. */
static void
expire(struct qmgr *q, struct entry *e, struct edit *edit)
{
    e->flags |= ENTRY_EXPIRE;
    write_flags(q, e, edit);
}

/* Unless it is on hold. */
static void
expire_now(struct qmgr *q, struct entry *e, struct edit *edit)
{
    e->flags |= ENTRY_EXPIRE;
    if (!edit_is_held(e))
        try_now(q, e);
    write_flags(q, e, edit);
}

/* Of messages that can be read. */

static bool
may_hold(const struct entry *e)
{
    return !edit_is_held(e);
}

static bool
may_expire(const struct entry *e)
{
    return (e->flags & ENTRY_EXPIRE) == 0;
}

static const struct {
    void (*run)(struct qmgr *q, struct entry *e, struct edit *edit);
    bool (*may)(const struct entry *e); /* NULL: always */
    bool damaged;                       /* of a damaged one, too */
} tasks[] = {
    [EDIT_DELETE] = { delete, NULL, true },
    [EDIT_HOLD] = { hold, may_hold, false },
    [EDIT_RELEASE] = { release, edit_is_held, false },
    [EDIT_REQUEUE] = { requeue, NULL, false },
    [EDIT_EXPIRE] = { expire, may_expire, false },
    [EDIT_EXPIRE_NOW] = { expire_now, may_expire, false },
};

bool
edit_may(const struct entry *e, enum edit_task task, unsigned queues)
{
    unsigned state = edit_is_held(e) ? ENTRY_HELD : e->state;

    if (e->state == ENTRY_ENTERING || e->state == ENTRY_LEAVING ||
        (queues & 1U << state) == 0 ||
        (e->message != NULL && e->message->doomed) ||
        (e->state == ENTRY_DAMAGED && !tasks[task].damaged))
        return false;
    return tasks[task].may == NULL || tasks[task].may(e);
}

bool
edit_message(struct qmgr *q, struct entry *e, enum edit_task task,
    unsigned queues, struct edit *edit)
{
    if (!edit_may(e, task, queues))
        return false;
    tasks[task].run(q, e, edit);
    return true;
}

static void
try_soon(struct qmgr *q, struct entry *e)
{
    e->flags |= ENTRY_FLUSHED;
    if (e->state == ENTRY_DEFERRED)
        round_schedule(q, e, qmgr_wall_ms());
    else if (e->message != NULL && e->state == ENTRY_ACTIVE &&
        !e->message->hold)
        e->message->again = true;
}

void
edit_flush(struct qmgr *q, struct entry *e)
{
    struct destination *d = destination_of_lane(q, e->lane);

    if (d != NULL)
        health_revive(q, d);
    try_soon(q, e);
}

/* Each of the dead is tried with one message: see qmgr/lane. */
void
edit_flush_all(struct qmgr *q, void (*pause)(void))
{
    uint64_t cursor = 0;
    unsigned looked = 0;

    health_revive_all(q);
    do {
        struct map_node *n = map_step(&q->index.entries, &cursor);

        for (; n != NULL; n = n->next)
            try_soon(q, LIST_ENTRY(n, struct entry, node));
        if (pause != NULL && ++looked % FLUSH_TURN == 0)
            pause();
    } while (cursor != 0);
}
