#include "qmgr/mail.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "qmgr/batch.h"
#include "qmgr/bundle.h"
#include "qmgr/destination.h"
#include "qmgr/dispatch.h"
#include "qmgr/lane.h"
#include "qmgr/notify.h"
#include "qmgr/verify.h"

#include <assert.h>

enum {
    ARENA_MAX = 512 * 1024 * 1024, /* a million recipients with their results */
    WORDS = 64,                    /* bits of one */
};

static void
status_due(struct qmgr *q, struct timer *t)
{
    /* What is dirty is looked at after the timers: see ledger_write_dirty(). */
    (void)q;
    (void)t;
}

struct mail *
mail_new(struct qmgr *q, struct entry *e)
{
    struct mail *m = mem_alloc(sizeof(*m));

    assert(e->message == NULL);
    m->entry = e;
    m->id = e->id;
    m->serial = ++q->serial;
    arena_init(&m->arena, ARENA_MAX);
    buf_init(&m->head, SIZE_MAX);
    buf_init(&m->content, SIZE_MAX);
    list_init(&m->content_waiters);
    list_init(&m->jobs);
    list_init(&m->bundles);
    list_init(&m->dirty_link);
    list_init(&m->check_link);
    list_init(&m->notice_link);
    list_init(&m->ask_link);
    list_init(&m->batches);
    buf_init(&m->ahead, SIZE_MAX);
    buf_init(&m->status, SIZE_MAX);
    buf_init(&m->past, SIZE_MAX);
    buf_init(&m->told, SIZE_MAX);
    m->status_due.fire = status_due;
    e->message = m;
    return m;
}

void
mail_count_held(struct qmgr *q, struct mail *m, size_t octets)
{
    q->held_octets += octets - m->held_octets;
    m->held_octets = octets;
}

void
mail_free(struct qmgr *q, struct mail *m)
{
    if (m == NULL)
        return;
    mail_foreach(r, m) list_remove(&r->link);
    timer_disarm(q, &m->gather);
    timer_disarm(q, &m->status_due);
    job_fence_all(q, m);
    bundle_free_all(q, m);
    list_foreach_safe (it, &m->batches)
        batch_free(q, LIST_ENTRY(it, struct batch, link));
    list_remove(&m->ask_link);
    list_remove(&m->dirty_link);
    list_remove(&m->check_link);
    list_remove(&m->notice_link);
    mail_count_held(q, m, 0);
    reserve_give_all(q, m);
    m->entry->message = NULL;
    q->probes -= m->counted;
    if (m->admitted != NULL)
        lane_leave(q, m->admitted);
    msg_in_free(m->held);
    buf_fini(&m->head);
    buf_fini(&m->content);
    buf_fini(&m->ahead);
    buf_fini(&m->status);
    buf_fini(&m->past);
    buf_fini(&m->told);
    arena_clear(&m->arena);
    mem_free(m);
}

struct mail *
mail_find(struct qmgr *q, uint64_t id, uint64_t serial)
{
    struct entry *e = index_find(&q->index, id);

    if (e == NULL || e->message == NULL || e->message->serial != serial)
        return NULL;
    return e->message;
}

bool
mail_is_large(const struct mail *m)
{
    return m->envelope.recipient_count > BATCH_RCPTS;
}

bool
mail_count_recipients(struct mail *m, size_t count)
{
    if (count > RECORD_RECIPIENTS_MAX)
        return false;
    m->settled = arena_alloc(&m->arena,
        (count / WORDS + 1) * sizeof(*m->settled));
    if (m->settled == NULL)
        return false;
    m->counts[RCPT_ABSENT] = count;
    return true;
}

bool
mail_set_recipients(struct qmgr *q, struct mail *m)
{
    return mail_count_recipients(m, m->envelope.recipient_count) &&
        (mail_is_large(m) || batch_take_all(q, m));
}

static struct rcpt *
first_from(const struct mail *m, struct list *at)
{
    for (; at != &m->batches; at = at->next) {
        struct batch *b = LIST_ENTRY(at, struct batch, link);

        if (b->count > 0)
            return b->rcpts;
    }
    return NULL;
}

struct rcpt *
mail_first_rcpt(const struct mail *m)
{
    return first_from(m, m->batches.next);
}

struct rcpt *
mail_next_rcpt(const struct rcpt *r)
{
    struct batch *b = r->batch;
    size_t next = (size_t)(r - b->rcpts) + 1;

    return next < b->count ? &b->rcpts[next]
                           : first_from(b->message, b->link.next);
}

static bool
is_open(enum rcpt_state state)
{
    return state != RCPT_DEFERRED && state != RCPT_FAILED &&
        state != RCPT_DONE && state != RCPT_SETTLED;
}

void
rcpt_set_state(struct rcpt *r, enum rcpt_state state)
{
    struct mail *m = r->message;
    enum rcpt_state before = r->state;

    m->counts[before]--;
    m->counts[state]++;
    r->batch->open -= is_open(before);
    r->batch->open += is_open(state);
    r->batch->failed -= before == RCPT_FAILED;
    r->batch->failed += state == RCPT_FAILED;
    r->batch->done -= before == RCPT_DONE;
    r->batch->done += state == RCPT_DONE;
    r->state = (uint8_t)state;
    if (state == RCPT_SETTLED)
        mail_note_settled(m, r->index);
}

void
rcpt_withdraw(struct qmgr *q, struct rcpt *r)
{
    if (r->state == RCPT_WAITING)
        bundle_take(q, r);
    list_remove(&r->link);
    rcpt_set_state(r, RCPT_PENDING);
}

static bool
keep(struct batch *b, struct slice *text)
{
    return text->len == 0 || arena_slice(&b->arena, *text, text);
}

struct note *
note_new(struct batch *b, const struct rcpt_result *result)
{
    struct note *n = arena_alloc(&b->arena, sizeof(*n));

    if (n == NULL)
        return NULL;
    n->result = *result;
    list_init(&n->link);
    if (!keep(b, &n->result.text) || !keep(b, &n->result.relay) ||
        !keep(b, &n->result.remote) || !keep(b, &n->result.diagnostic) ||
        !keep(b, &n->result.diagnostic_type) ||
        !keep(b, &n->result.final_address))
        return NULL;
    return n;
}

void
rcpt_sent(struct qmgr *q, struct rcpt *r, const struct rcpt_result *result)
{
    struct note *n;

    r->job = NULL;
    if (verify_keep(q, r, result))
        return;
    n = notify_wants_success(r, result) ? note_new(r->batch, result) : NULL;
    if (n != NULL)
        r->note = n;
    rcpt_set_state(r, n == NULL ? RCPT_SETTLED : RCPT_DONE);
    mail_dirty(q, r->message);
    mail_touch(q, r->message);
}

void
rcpt_conclude(struct qmgr *q, struct rcpt *r, const struct rcpt_result *result)
{
    enum rcpt_state state = RCPT_DEFERRED;
    struct note *n;

    r->job = NULL;
    if (verify_keep(q, r, result)) /* needs no note, and no room for one */
        return;
    n = note_new(r->batch, result);
    if (n != NULL) {
        r->note = n;
        if (envelope_is_probe(&r->message->envelope))
            state = RCPT_DONE;
        else if (result->outcome == OUTCOME_BOUNCED)
            state = RCPT_FAILED;
    } /* else the arena's ceiling: it is tried again, and why is not known */
    rcpt_set_state(r, state);
    mail_touch(q, r->message);
}

struct recipient
rcpt_told(const struct qmgr *q, const struct rcpt *r)
{
    struct recipient told = *rcpt_given(r);

    /* Left out where it is the same; or cleanup was told to forget it. */
    if (told.original.len == 0 && q->config->enable_original_recipient)
        told.original = told.address;
    if (r->address.len > 0)
        told.address = r->address;
    return told;
}

void
mail_touch(struct qmgr *q, struct mail *m)
{
    if (m->check_link.next != &m->check_link)
        return;
    list_append(&q->checks, &m->check_link);
    qmgr_wake(q);
}

void
mail_dirty(struct qmgr *q, struct mail *m)
{
    if (m->dirty_ms == 0)
        m->dirty_ms = clock_now_ms();
    if (m->dirty_link.next != &m->dirty_link)
        return;
    list_append(&q->dirty, &m->dirty_link);
    qmgr_wake(q);
}

uint32_t
mail_lane(const struct mail *m)
{
    uint32_t lane = m->lane;
    bool is_first = !m->lane_is_set;

    /* Notices are sent soon, whatever their destination's health. */
    if (m->counts[RCPT_ABSENT] > 0 ||
        m->counts[RCPT_FAILED] + m->counts[RCPT_DONE] > 0)
        return 0;
    mail_foreach(r, m)
    {
        if (r->state == RCPT_SETTLED)
            continue;
        if (!is_first && r->lane != lane)
            return 0;
        lane = r->lane;
        is_first = false;
    }
    return lane;
}

void
mail_activate(struct qmgr *q, struct mail *m)
{
    entry_set_state(&q->index, m->entry, ENTRY_ACTIVE);
    m->admitted = lane_enter(q, m->entry);
}
