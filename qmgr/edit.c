#include "qmgr/edit.h"

#include "qmgr/destination.h"
#include "qmgr/dispatch.h"
#include "qmgr/ledger.h"
#include "qmgr/mail.h"
#include "qmgr/resolve.h"
#include "qmgr/round.h"

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

static bool delete (struct qmgr *q, struct entry *e, struct edit *edit)
{
    struct mail *m = e->message;

    if (m == NULL) {
        edit->pending++;
        ledger_remove(q, e, edit);
        return true;
    }
    if (m->doomed)
        return false;
    edit->pending++;
    m->doomed = true;
    m->edit = edit;
    if (m->begun)
        round_withdraw(q, m);
    job_fence_all(q, m);
    mail_touch(q, m);
    return true;
}

static bool
hold(struct qmgr *q, struct entry *e, struct edit *edit)
{
    struct mail *m = e->message;

    if (edit_is_held(e) || e->state == ENTRY_DAMAGED)
        return false;
    if (m == NULL) {
        entry_set_state(&q->index, e, ENTRY_HELD);
    } else {
        m->hold = true;
        m->again = false;
        if (m->begun)
            round_withdraw(q, m);
    }
    write_flags(q, e, edit);
    return true;
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

static bool
release(struct qmgr *q, struct entry *e, struct edit *edit)
{
    if (!edit_is_held(e))
        return false;
    try_now(q, e);
    write_flags(q, e, edit);
    return true;
}

/*
 * TODO: Postfix sends a requeued message through cleanup again, under a new
 * queue id, so that changed rewriting and virtual aliases take effect. Here it
 * is resolved anew and tried at once. It hurts who requeues for that reason.
 */
static bool
requeue(struct qmgr *q, struct entry *e, struct edit *edit)
{
    if (e->state == ENTRY_DAMAGED)
        return false;
    if (e->state != ENTRY_INCOMING)
        try_now(q, e);
    resolve_configure(q);
    write_flags(q, e, edit);
    return true;
}

/* It goes back when it is looked at next, as everybody's scripts expect. */
static bool
expire(struct qmgr *q, struct entry *e, struct edit *edit)
{
    if (e->state == ENTRY_DAMAGED || (e->flags & ENTRY_EXPIRE) != 0)
        return false;
    e->flags |= ENTRY_EXPIRE;
    write_flags(q, e, edit);
    return true;
}

static bool
expire_release(struct qmgr *q, struct entry *e, struct edit *edit)
{
    if (e->state == ENTRY_DAMAGED)
        return false;
    if ((e->flags & ENTRY_EXPIRE) != 0 && !edit_is_held(e))
        return false;
    e->flags |= ENTRY_EXPIRE;
    try_now(q, e);
    write_flags(q, e, edit);
    return true;
}

static bool (*const tasks[])(struct qmgr *q, struct entry *e,
    struct edit *edit) = {
    [EDIT_DELETE] = delete,
    [EDIT_HOLD] = hold,
    [EDIT_RELEASE] = release,
    [EDIT_REQUEUE] = requeue,
    [EDIT_EXPIRE] = expire,
    [EDIT_EXPIRE_RELEASE] = expire_release,
};

bool
edit_message(struct qmgr *q, struct entry *e, enum edit_task task,
    unsigned queues, struct edit *edit)
{
    unsigned state = edit_is_held(e) ? ENTRY_HELD : e->state;

    if (e->state == ENTRY_ENTERING || e->state == ENTRY_LEAVING ||
        (queues & 1U << state) == 0 ||
        (e->message != NULL && e->message->doomed))
        return false;
    return tasks[task](q, e, edit);
}

void
edit_flush(struct qmgr *q, struct entry *e)
{
    e->flags |= ENTRY_FLUSHED;
    if (e->state == ENTRY_DEFERRED)
        round_schedule(q, e, qmgr_wall_ms());
    else if (e->message != NULL && e->state == ENTRY_ACTIVE &&
        !e->message->hold)
        e->message->again = true;
}

void
edit_flush_all(struct qmgr *q)
{
    struct map_node *next;

    destination_revive_all(q);
    for (struct map_node *n = map_first(&q->index.entries); n != NULL;
         n = next) {
        next = map_after(&q->index.entries, n);
        edit_flush(q, LIST_ENTRY(n, struct entry, node));
    }
}
