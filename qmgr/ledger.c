#include "qmgr/ledger.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_id.h"
#include "qmgr/batch.h"
#include "qmgr/drops.h"
#include "qmgr/edit.h"
#include "qmgr/intake.h"
#include "qmgr/lend.h"
#include "qmgr/round.h"
#include "qmgr/timer.h"

enum {
    AGAIN_MS = 1000,
    SET_MAX = 16 * 1024 * 1024,
    /* A STATUS of 100,000 recipients is no small record. Below
       queue_settle_delay, which is what may be delivered again. */
    LARGE_EVERY_MS = 200,
    LARGE_STATUS = 256 * 1024, /* octets, from which on it is even rarer */
    LARGE_STATUS_MS = 800,
};

/* A transaction that is tried until it is durable. */
struct entry_write {
    struct list link; /* of q->writes */
    struct txn *txn;
    struct timer timer;
    uint64_t id;
    uint64_t serial; /* of the message, if it has one in memory */
    uint32_t version;
    enum { WRITE_INTERIM, WRITE_ENDING, WRITE_HOLD, WRITE_REMOVE } kind;
    struct spool_place hold;   /* that this one overrides */
    struct spool_place *parts; /* that this one takes up */
    size_t part_count;
    int64_t next_try_ms;
    uint64_t room; /* set aside for it in the spool */
    bool owed;     /* it failed, and waits for its next try */
    struct edit *edit;
};

static void
write_free(struct qmgr *q, struct entry_write *w)
{
    timer_disarm(q, &w->timer);
    list_remove(&w->link);
    reserve_give(q, w->room);
    txn_free(w->txn);
    mem_free(w->parts);
    mem_free(w);
}

static void
dead(struct qmgr *q, struct spool_place *place)
{
    if (place_is_set(place))
        q->outside->dead(q->context, place);
    *place = (struct spool_place){ 0 };
}

static void
removed(struct qmgr *q, struct entry_write *w)
{
    struct entry *e = index_find(&q->index, w->id);
    struct spool_place place;
    char id[QUEUE_ID_SIZE];

    if (e == NULL)
        return;
    dead(q, &e->place);
    dead(q, &e->content);
    dead(q, &e->status);
    dead(q, &e->hold);
    while (index_take_part(&q->index, e, &place))
        dead(q, &place);
    if (e->blob != 0)
        lend_drop(q, e->blob);
    if (w->edit != NULL)
        edit_done(q, w->edit, w->id);
    else
        log_write(LOG_LEVEL_INFO, q->tag, "%s: removed",
            queue_id_text(w->id, q->long_ids, id));
    late_forget(q, w->id);
    intake_forget(q, e);
    index_remove(&q->index, e);
}

static void
hold_written(struct qmgr *q, struct entry_write *w)
{
    struct entry *e = index_find(&q->index, w->id);
    struct spool_place place = w->txn->records[0].place;

    if (e == NULL || e->state == ENTRY_LEAVING) {
        q->outside->dead(q->context, &place);
    } else {
        dead(q, &e->hold);
        e->hold = place;
    }
    if (w->edit != NULL)
        edit_done(q, w->edit, w->id);
}

static void
take_up_parts(struct qmgr *q, struct entry *e, const struct entry_write *w)
{
    for (size_t i = 0; i < w->part_count; i++)
        if (index_drop_part(&q->index, e, &w->parts[i]))
            q->outside->dead(q->context, &w->parts[i]);
}

static void
status_written(struct qmgr *q, struct entry_write *w)
{
    struct entry *e = index_find(&q->index, w->id);
    struct spool_place place = w->txn->records[0].place;
    struct mail *m = mail_find(q, w->id, w->serial);

    if (e == NULL || e->state == ENTRY_LEAVING) {
        q->outside->dead(q->context, &place);
        return;
    }
    dead(q, &e->status);
    e->status = place;
    if (place_is_set(&w->hold) && place_same(&e->hold, &w->hold))
        dead(q, &e->hold);
    take_up_parts(q, e, w);
    if (m == NULL)
        return;
    m->writing--;
    if (w->kind == WRITE_ENDING)
        round_ended(q, m, w->next_try_ms);
    else
        mail_touch(q, m);
}

/*
 * What is written late must not say what was true early: behind a newer record
 * it would be taken for the newest. An end stays what it is.
 */
static void
write_again(struct qmgr *q, struct timer *t)
{
    struct entry_write *w = LIST_ENTRY(t, struct entry_write, timer);
    struct entry *e = index_find(&q->index, w->id);
    bool gone = e == NULL || e->state == ENTRY_LEAVING;
    struct mail *m = mail_find(q, w->id, w->serial);

    q->owed -= w->owed;
    w->owed = false;
    switch (w->kind) {
    case WRITE_REMOVE:
        /* The cleaner may have moved it: the REMOVE must outlive the copy. */
        if (e != NULL)
            w->txn->records[0].target = e->place;
        txn_commit(q, w->txn);
        return;
    case WRITE_ENDING:
        txn_commit(q, w->txn);
        return;
    case WRITE_INTERIM:
        /* Not of another round, which has read what the end of this said. */
        if (m != NULL) {
            m->writing--;
            m->dirty_ms = w->txn->since_ms;
            mail_dirty(q, m);
        }
        break;
    case WRITE_HOLD:
        if (!gone)
            ledger_hold(q, e, edit_is_held(e), w->edit);
        else if (w->edit != NULL)
            edit_done(q, w->edit, w->id);
        break;
    }
    write_free(q, w);
}

static void
written(struct qmgr *q, struct txn *t)
{
    struct entry_write *w = t->owner;
    char id[QUEUE_ID_SIZE];

    if (t->spool.result != RESULT_OK) {
        log_error("%s: status is not written, trying again: %s",
            queue_id_text(w->id, q->long_ids, id), t->spool.why.text);
        w->owed = true;
        q->owed++;
        timer_arm(q, &w->timer, clock_now_ms() + AGAIN_MS);
        return;
    }
    switch (w->kind) {
    case WRITE_INTERIM:
    case WRITE_ENDING:
        status_written(q, w);
        break;
    case WRITE_HOLD:
        hold_written(q, w);
        break;
    case WRITE_REMOVE:
        removed(q, w);
        break;
    }
    write_free(q, w);
}

static struct entry_write *
write_new(struct qmgr *q, struct entry *e)
{
    struct entry_write *w = mem_alloc(sizeof(*w));
    const struct mail *m = e->message;

    w->txn = txn_new(written, w);
    w->txn->spool.settling = true;
    w->txn->may_wait = true;
    w->timer.fire = write_again;
    w->id = e->id;
    if (m != NULL) {
        w->serial = m->serial;
        w->txn->since_ms = m->dirty_ms == 0 ? clock_now_ms() : m->dirty_ms;
    }
    w->version = ++e->version;
    list_append(&q->writes, &w->link);
    return w;
}

/* STATUS. */

static void
put_settled(const struct mail *m, struct buf *to)
{
    size_t count = m->envelope.recipient_count;
    struct set_writer w;

    set_begin(&w, to);
    for (uint32_t i = 0; i < count; i++) {
        /* Long runs of others are passed over. */
        if (i % 64 == 0 && m->settled[i / 64] == 0)
            i += 63;
        else if (mail_is_settled(m, i))
            set_add(&w, i);
    }
    set_end(&w);
}

/*
 * What is known of the others: of those that are not in memory yet, from
 * before; of those that were; of those that are.
 */
static void
put_groups(struct qmgr *q, struct mail *m, struct buf *to)
{
    struct slice rest = buf_slice(&m->status), set;
    struct rcpt_result result;

    while (
        m->counts[RCPT_ABSENT] > 0 && status_next_group(&rest, &result, &set))
        status_put_group(&result, set, to);
    if (m->counts[RCPT_ABSENT] > 0)
        buf_add(to, buf_slice(&m->told));
    buf_add(to, buf_slice(&m->past));
    list_foreach (it, &m->batches)
        batch_put_groups(q, LIST_ENTRY(it, struct batch, link), to);
}

static struct status_brief
brief_of(const struct entry *e, const struct entry_write *w, bool held)
{
    struct status_brief b = {
        .version = w->version,
        .next_try_ms = w->next_try_ms,
        .attempts = e->attempts,
        .deaths = e->deaths,
        .lane = e->lane,
        .kills = e->kills,
    };

    if (held)
        b.flags |= STATUS_HELD;
    if ((e->flags & ENTRY_WARNED) != 0)
        b.flags |= STATUS_WARNED;
    if ((e->flags & ENTRY_EXPIRE) != 0)
        b.flags |= STATUS_EXPIRE;
    if ((e->flags & ENTRY_REQUEUE) != 0)
        b.flags |= STATUS_REQUEUE;
    return b;
}

static void
encode_status(struct qmgr *q, struct mail *m, struct entry_write *w)
{
    struct txn *t = w->txn;
    size_t n = txn_add(t, RECORD_STATUS, m->id);
    struct status_brief b = brief_of(m->entry, w, m->hold);
    struct buf set;

    b.unsettled = (uint32_t)mail_unsettled(m);
    status_brief_encode(&b, &t->briefs[n]);
    buf_init(&set, SET_MAX);
    put_settled(m, &set);
    status_put_settled(buf_slice(&set), &t->heads[n]);
    buf_fini(&set);
    put_groups(q, m, &t->heads[n]);
}

static void
note_parts(struct qmgr *q, struct entry *e, struct entry_write *w)
{
    size_t count = index_parts(&q->index, e, NULL, 0);

    if (count == 0)
        return;
    w->parts = mem_alloc_array(count, sizeof(*w->parts));
    w->part_count = index_parts(&q->index, e, w->parts, count);
}

void
ledger_status(struct qmgr *q, struct mail *m, enum status_kind kind,
    int64_t next_try_ms)
{
    struct entry *e = m->entry;
    struct entry_write *w = write_new(q, e);

    w->kind = kind == STATUS_ENDING ? WRITE_ENDING : WRITE_INTERIM;
    w->hold = e->hold;
    w->next_try_ms = next_try_ms;
    note_parts(q, e, w);
    encode_status(q, m, w);
    m->writing++;
    if (kind == STATUS_INTERIM)
        w->room = reserve_pass_piece(m);
    if (kind == STATUS_ENDING) {
        w->room = reserve_pass(m);
        m->ending = true;
        /* What waits for its next try is listed, with the reason, from disk. */
        w->txn->may_wait = mail_unsettled(m) == 0;
    }
    list_remove(&m->dirty_link);
    m->dirty_ms = 0;
    if (mail_is_large(m))
        timer_arm(q, &m->status_due,
            clock_now_ms() +
                (w->txn->heads[0].len > LARGE_STATUS ? LARGE_STATUS_MS
                                                     : LARGE_EVERY_MS));
    txn_commit(q, w->txn);
}

void
ledger_write_dirty(struct qmgr *q)
{
    struct list waiting, *it;

    list_init(&waiting);
    while ((it = list_take(&q->dirty)) != NULL) {
        struct mail *m = LIST_ENTRY(it, struct mail, dirty_link);

        /* One at a time: the next gathers what happens meanwhile. */
        if (m->writing > 0 || (m->status_due.node.slot != 0 && !q->stopping))
            list_append(&waiting, it);
        else if (mail_unsettled(m) > 0)
            ledger_status(q, m, STATUS_INTERIM, qmgr_wall_ms());
    }
    while ((it = list_take(&waiting)) != NULL)
        list_append(&q->dirty, it);
}

/* HOLD and REMOVE. */

void
ledger_hold(struct qmgr *q, struct entry *e, bool held, struct edit *edit)
{
    struct entry_write *w = write_new(q, e);
    struct status_brief b = brief_of(e, w, held);

    w->kind = WRITE_HOLD;
    w->edit = edit;
    w->txn->may_wait = edit == NULL;
    b.next_try_ms = e->state == ENTRY_DEFERRED ? e->timer.due : qmgr_wall_ms();
    status_brief_encode(&b,
        &w->txn->briefs[txn_add(w->txn, RECORD_HOLD, e->id)]);
    txn_commit(q, w->txn);
}

void
ledger_remove(struct qmgr *q, struct entry *e, struct edit *deleted)
{
    struct entry_write *w = write_new(q, e);
    int64_t wait;

    w->kind = WRITE_REMOVE;
    w->edit = deleted;
    w->txn->may_wait = deleted == NULL;
    w->txn->records[txn_add(w->txn, RECORD_REMOVE, e->id)].target = e->place;
    if (e->message != NULL)
        w->room = reserve_pass(e->message);
    mail_free(q, e->message);
    entry_set_state(&q->index, e, ENTRY_LEAVING);
    wait = deleted == NULL ? drops_wait_ms(q, e) : 0;
    if (wait > 0)
        timer_arm(q, &w->timer, clock_now_ms() + wait);
    else
        txn_commit(q, w->txn);
}

void
ledger_fini(struct qmgr *q)
{
    list_foreach_safe (it, &q->writes)
        write_free(q, LIST_ENTRY(it, struct entry_write, link));
}
