#include "qmgr/mail.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_id.h"
#include "qmgr/batch.h"
#include "qmgr/destination.h"
#include "qmgr/dispatch.h"
#include "qmgr/lane.h"
#include "qmgr/ledger.h"
#include "qmgr/notify.h"
#include "qmgr/resolve.h"
#include "qmgr/round.h"
#include "qmgr/verify.h"

#include <assert.h>

enum {
    ARENA_MAX = 512 * 1024 * 1024, /* a million recipients with their results */
    READ_AGAIN_MS = 60 * 1000,
    GATHER_MS = 50,
    GATHER_MOST_MS = 2000,
    ROOM_STATUS = 1024, /* octets in the spool */
    ROOM_RCPT = 512,
    ASK_AT_ONCE = 50, /* recipients of a message that are asked for ... */
    ASK_A_TURN = 200, /* ... and of all, in one pump */
    OPEN_ENOUGH = 2 * BATCH_RCPTS,
    WORDS = 64, /* bits of one */
};

static void gather_timeout(struct qmgr *q, struct timer *t);
static void status_due(struct qmgr *q, struct timer *t);
static void begin_batch(struct qmgr *q, struct mail *m);

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
    buf_init(&m->status, SIZE_MAX);
    buf_init(&m->past, SIZE_MAX);
    buf_init(&m->told, SIZE_MAX);
    m->status_due.fire = status_due;
    m->gather.fire = gather_timeout;
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
    q->outside->room_give(q->context, m->room);
    m->entry->message = NULL;
    if (m->admitted != NULL)
        lane_leave(q, m->admitted);
    msg_in_free(m->held);
    buf_fini(&m->head);
    buf_fini(&m->content);
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

/* The count is known, of none that it is settled. */
static bool
count_recipients(struct mail *m, size_t count)
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
    return count_recipients(m, m->envelope.recipient_count) &&
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
rcpt_conclude_note(struct qmgr *q, struct rcpt *r, struct note *note)
{
    r->job = NULL;
    if (verify_keep(q, r, &note->result))
        return;
    r->note = note;
    if (envelope_is_probe(&r->message->envelope))
        rcpt_set_state(r, RCPT_DONE);
    else
        rcpt_set_state(r,
            note->result.outcome == OUTCOME_BOUNCED ? RCPT_FAILED
                                                    : RCPT_DEFERRED);
    mail_touch(q, r->message);
}

void
rcpt_conclude(struct qmgr *q, struct rcpt *r, const struct rcpt_result *result)
{
    struct note *n = note_new(r->batch, result);

    if (n != NULL) {
        rcpt_conclude_note(q, r, n);
        return;
    }
    /* The arena's ceiling: it is tried again, and why is not known. */
    r->job = NULL;
    rcpt_set_state(r, RCPT_DEFERRED);
    mail_touch(q, r->message);
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

/* Reading back. */

static void
read_more(struct qmgr *q, struct mail *m, enum disk_task task,
    const struct spool_place *place, size_t nth,
    void (*done)(struct qmgr *q, struct disk_job *j))
{
    struct disk_job *j = disk_job_new(task, done, NULL);

    j->id = m->id;
    j->place = *place;
    j->serial = m->serial;
    j->nth = nth;
    m->reading++;
    disk_job_start(q, j);
}

/*
 * It cannot be read: now, and is put off; or it is damaged, and is left alone
 * for good.
 */
static void
set_aside(struct qmgr *q, struct mail *m, enum result res,
    const struct why *why)
{
    struct entry *e = m->entry;
    struct edit *edit = m->edit;
    bool doomed = m->doomed;
    char id[QUEUE_ID_SIZE];

    log_error("%s: cannot be read back%s: %s",
        queue_id_text(e->id, q->long_ids, id),
        res == RESULT_PERMFAIL ? ", set aside" : "", why->text);
    mail_free(q, m);
    if (doomed)
        ledger_remove(q, e, edit);
    else if (res == RESULT_PERMFAIL)
        entry_set_state(&q->index, e, ENTRY_DAMAGED);
    else
        round_schedule(q, e, qmgr_wall_ms() + READ_AGAIN_MS);
}

/*
 * The cleaner may have moved the record between our looking and reading: then
 * its place is another one now.
 */
static bool
has_moved(const struct disk_job *j, const struct spool_place *now)
{
    return j->result != RESULT_OK && place_is_set(now) &&
        !place_same(&j->place, now);
}

/*
 * What the newest STATUS says besides is of use; of parts, and of the one that
 * is there when a HOLD is newer, the settled recipients count just as well.
 */
static enum result
apply_status(struct mail *m, struct buf *head, bool newest, struct why *why)
{
    struct slice set;
    enum result res = status_settled(buf_slice(head), &set, why);

    if (res == RESULT_OK)
        res = batch_note_settled(m, set, why);
    if (res == RESULT_OK && !newest)
        res = batch_note_told(m, buf_slice(head), why);
    if (res != RESULT_OK || !newest)
        return res;
    m->status = *head;
    buf_init(head, 0);
    return batch_note_status(m, buf_slice(&m->status), why);
}

/*
 * Of a large message the encoded recipients are not kept in memory: they are
 * read again when more of them are wanted.
 */
static enum result
shrink_head(struct qmgr *q, struct mail *m, struct slice start, struct why *why)
{
    struct message_record record = m->record;
    size_t count = m->envelope.recipient_count;
    struct arena none;
    struct buf small;
    enum result res;

    buf_init(&small, SIZE_MAX);
    record.envelope = start;
    message_record_encode(&record, &small);
    arena_init(&none, 0);
    res = message_record_decode(buf_slice(&small), &m->record, why);
    if (res == RESULT_OK)
        res = envelope_decode(m->record.envelope, &none, &m->envelope, why);
    m->envelope.recipient_count = count;
    buf_fini(&m->head);
    m->head = small;
    mail_count_held(q, m, m->head.cap + m->content.cap);
    return res;
}

/*
 * How many more recipients may come: lists leave a quarter of the room to what
 * is small. Some always may, else a message would not get on.
 */
static size_t
room_for_batch(const struct qmgr *q, const struct mail *m)
{
    size_t limit = (size_t)q->config->qmgr_message_recipient_limit;
    size_t least = (size_t)q->config->qmgr_message_recipient_minimum;
    const struct transport *t = m->transport;
    bool is_full = q->active_recipients + BATCH_RCPTS > limit - limit / 4 ||
        (t != NULL && t->waiting + BATCH_RCPTS > (size_t)t->waiting_limit);

    if (!is_full)
        return BATCH_RCPTS;
    if (!list_empty(&m->batches))
        return 0;
    return least < BATCH_RCPTS ? least : BATCH_RCPTS;
}

/* All STATUS records are known: now the recipients that are left. */
static enum result
read_first_batch(struct qmgr *q, struct mail *m, struct why *why)
{
    struct slice envelope = m->record.envelope, start = envelope, rest;
    enum result res;

    (void)envelope_count_recipients(envelope, &rest);
    start.len -= rest.len;
    res = batch_read(q, m, envelope,
        mail_is_large(m) ? room_for_batch(q, m) : BATCH_RCPTS, why);
    if (res == RESULT_OK && mail_is_large(m))
        res = shrink_head(q, m, start, why);
    return res;
}

static void
loaded(struct qmgr *q, struct mail *m)
{
    enum result res;
    struct why why;

    if (m->reading > 0)
        return;
    if (m->doomed) {
        mail_touch(q, m);
        return;
    }
    res = read_first_batch(q, m, &why);
    if (res == RESULT_OK)
        mail_begin(q, m);
    else
        set_aside(q, m, res, &why);
}

static void
status_read(struct qmgr *q, struct disk_job *j)
{
    struct mail *m = mail_find(q, j->id, j->serial);
    bool newest = j->nth == 0;
    struct why why = j->why;
    enum result res = j->result;

    if (m == NULL) {
        disk_job_free(j);
        return;
    }
    m->reading--;
    if (newest && has_moved(j, &m->entry->status)) {
        read_more(q, m, DISK_READ_HEAD, &m->entry->status, 0, status_read);
        disk_job_free(j);
        return;
    }
    if (res == RESULT_OK)
        res = apply_status(m, &j->head, newest, &why);
    disk_job_free(j);
    if (res != RESULT_OK)
        set_aside(q, m, res, &why);
    else
        loaded(q, m);
}

static enum result
decode_message(struct mail *m, struct why *why)
{
    enum result res = message_record_decode(buf_slice(&m->head), &m->record,
        why);
    struct slice envelope, rest;
    size_t count;

    if (res != RESULT_OK)
        return res;
    envelope = m->record.envelope;
    count = envelope_count_recipients(envelope, &rest);
    envelope.len -= rest.len;
    res = envelope_decode(envelope, &m->arena, &m->envelope, why);
    if (res == RESULT_OK && m->envelope.id != m->id)
        res = why_perm(why, "5.3.0", "record of another message");
    m->envelope.recipient_count = count;
    if (res == RESULT_OK && !count_recipients(m, count))
        res = why_temp(why, "4.3.1", "no memory for recipients");
    return res;
}

static void
read_statuses(struct qmgr *q, struct mail *m)
{
    struct entry *e = m->entry;
    size_t count = index_parts(&q->index, e, NULL, 0);
    struct spool_place *parts = mem_alloc_array(count + 1, sizeof(*parts));

    (void)index_parts(&q->index, e, parts, count);
    if (place_is_set(&e->status))
        read_more(q, m, DISK_READ_HEAD, &e->status, 0, status_read);
    for (size_t i = 0; i < count; i++)
        read_more(q, m, DISK_READ_HEAD, &parts[i], i + 1, status_read);
    mem_free(parts);
}

static void
head_read(struct qmgr *q, struct disk_job *j)
{
    struct mail *m = mail_find(q, j->id, j->serial);
    struct why why = j->why;
    enum result res = j->result;

    if (m == NULL) {
        disk_job_free(j);
        return;
    }
    m->reading--;
    if (has_moved(j, &m->entry->place)) {
        read_more(q, m, DISK_READ_HEAD, &m->entry->place, 0, head_read);
        disk_job_free(j);
        return;
    }
    m->head = j->head;
    buf_init(&j->head, 0);
    disk_job_free(j);
    if (res == RESULT_OK)
        res = decode_message(m, &why);
    if (res != RESULT_OK) {
        set_aside(q, m, res, &why);
        return;
    }
    mail_count_held(q, m, m->head.cap);
    read_statuses(q, m);
    loaded(q, m);
}

static void
batch_was_read(struct qmgr *q, struct disk_job *j)
{
    struct mail *m = mail_find(q, j->id, j->serial);
    struct message_record record;
    struct why why = j->why;
    enum result res = j->result;
    char id[QUEUE_ID_SIZE];
    size_t room;

    if (m == NULL) {
        disk_job_free(j);
        return;
    }
    m->reading--;
    room = room_for_batch(q, m);
    if (has_moved(j, &m->entry->place)) {
        read_more(q, m, DISK_READ_HEAD, &m->entry->place, 0, batch_was_read);
        disk_job_free(j);
        return;
    }
    if (res == RESULT_OK)
        res = message_record_decode(buf_slice(&j->head), &record, &why);
    if (res == RESULT_OK)
        res = batch_read(q, m, record.envelope, room, &why);
    disk_job_free(j);
    if (res != RESULT_OK) {
        log_error("%s: cannot read more recipients: %s",
            queue_id_text(m->id, q->long_ids, id), why.text);
        m->stuck = m->soon = true;
    }
    begin_batch(q, m);
}

void
mail_read_more(struct qmgr *q, struct mail *m)
{
    if (m->counts[RCPT_ABSENT] == 0 || m->reading > 0 || m->stuck || m->hold ||
        q->stopping || mail_busy(m) > OPEN_ENOUGH || room_for_batch(q, m) == 0)
        return;
    read_more(q, m, DISK_READ_HEAD, &m->entry->place, 0, batch_was_read);
}

void
mail_activate(struct qmgr *q, struct mail *m)
{
    entry_set_state(&q->index, m->entry, ENTRY_ACTIVE);
    m->admitted = lane_enter(q, m->entry);
}

void
mail_load(struct qmgr *q, struct entry *e)
{
    struct mail *m = mail_new(q, e);

    mail_activate(q, m);
    read_more(q, m, DISK_READ_HEAD, &e->place, 0, head_read);
}

/* Content. */

static void
serve_content_waiters(struct qmgr *q, struct mail *m, enum result res,
    const struct why *why)
{
    for (struct list *it; (it = list_take(&m->content_waiters)) != NULL;) {
        struct job *j = LIST_ENTRY(it, struct job, wait_link);

        if (res == RESULT_OK)
            job_send(q, j);
        else
            job_give_up(q, j, res, why);
    }
}

static const struct spool_place *
content_place(const struct mail *m)
{
    const struct entry *e = m->entry;

    return place_is_set(&e->content) ? &e->content : &e->place;
}

static void
content_read(struct qmgr *q, struct disk_job *j)
{
    struct mail *m = mail_find(q, j->id, j->serial);
    struct why why = j->why;
    enum result res = j->result;

    if (m == NULL) {
        disk_job_free(j);
        return;
    }
    m->reading--;
    if (has_moved(j, content_place(m))) {
        read_more(q, m, DISK_READ, content_place(m), 0, content_read);
        disk_job_free(j);
        return;
    }
    m->content = j->content;
    buf_init(&j->content, 0);
    disk_job_free(j);
    if (res == RESULT_OK &&
        !message_record_content(&m->record, buf_slice(&m->content), &m->header,
            &m->body))
        res = why_perm(&why, "5.3.0", "malformed content");
    if (res == RESULT_OK) {
        m->has_content = true;
        mail_count_held(q, m, m->head.cap + m->content.cap);
    }
    serve_content_waiters(q, m, res, &why);
    mail_touch(q, m);
}

void
mail_want_content(struct qmgr *q, struct mail *m, struct job *j)
{
    bool first = list_empty(&m->content_waiters);

    if (m->has_content) {
        job_send(q, j);
        return;
    }
    list_append(&m->content_waiters, &j->wait_link);
    if (first)
        read_more(q, m, DISK_READ, content_place(m), 0, content_read);
}

/* The round. */

void
mail_gathered(struct qmgr *q, struct mail *m)
{
    timer_disarm(q, &m->gather);
    bundle_join_all(q, m);
}

/* Some recipients of m; the number of those that were asked for. */
static size_t
ask_some(struct qmgr *q, struct mail *m)
{
    size_t n = 0;

    list_foreach (it, &m->batches) {
        struct batch *b = LIST_ENTRY(it, struct batch, link);

        for (; b->asked < b->count && n < ASK_AT_ONCE; b->asked++) {
            struct rcpt *r = &b->rcpts[b->asked];

            if (r->state != RCPT_PENDING)
                continue;
            resolve_rcpt(q, r);
            n++;
        }
        if (n == ASK_AT_ONCE && b->asked < b->count) {
            list_append(&q->asking, &m->ask_link);
            return n;
        }
    }
    if (mail_gathers(m) && m->counts[RCPT_RESOLVING] == 0)
        mail_gathered(q, m);
    mail_touch(q, m);
    return n;
}

void
mail_ask_some(struct qmgr *q)
{
    struct list *it;
    size_t n = 0;

    while (n < ASK_A_TURN && (it = list_take(&q->asking)) != NULL)
        n += ask_some(q, LIST_ENTRY(it, struct mail, ask_link));
    if (!list_empty(&q->asking))
        qmgr_wake(q);
}

/* Recipients of m have come into memory. */
static void
begin_batch(struct qmgr *q, struct mail *m)
{
    mail_touch(q, m);
    late_apply(q, m);
    if (round_is_over_before_it_begins(q, m))
        return;
    if (m->counts[RCPT_PENDING] > 1 && !mail_gathers(m)) {
        m->gathered_at = SIZE_MAX;
        m->gather_until_ms = clock_now_ms() + GATHER_MOST_MS;
        timer_arm(q, &m->gather, clock_now_ms() + GATHER_MS);
    }
    if (m->ask_link.next == &m->ask_link)
        (void)ask_some(q, m);
    if (!list_empty(&q->asking))
        qmgr_wake(q);
}

static void
status_due(struct qmgr *q, struct timer *t)
{
    /* What is dirty is looked at after the timers: see ledger_write_dirty(). */
    (void)q;
    (void)t;
}

/*
 * A list may take a while as long as lookup is getting on with it. A recipient
 * whose table is slow is not waited for.
 */
static void
gather_timeout(struct qmgr *q, struct timer *t)
{
    struct mail *m = LIST_ENTRY(t, struct mail, gather);
    size_t before = m->gathered_at;

    m->gathered_at = m->counts[RCPT_PENDING] + m->counts[RCPT_RESOLVING];
    if (m->gathered_at < before && clock_now_ms() < m->gather_until_ms)
        timer_arm(q, t, clock_now_ms() + GATHER_MS);
    else
        mail_gathered(q, m);
}

/*
 * Whatever becomes of its recipients can be written: else a full disk would
 * have delivered mail delivered again and again.
 */
static bool
take_room(struct qmgr *q, struct mail *m)
{
    uint64_t octets = ROOM_STATUS +
        ROOM_RCPT * (uint64_t)m->envelope.recipient_count;

    if (!q->outside->room_take(q->context, octets))
        return false;
    m->room = octets;
    return true;
}

void
mail_begin(struct qmgr *q, struct mail *m)
{
    struct slice sender = m->envelope.sender;
    char id[QUEUE_ID_SIZE];
    size_t left = mail_unsettled(m) - m->counts[RCPT_DONE];

    if (!take_room(q, m)) {
        struct entry *e = m->entry;

        mail_free(q, m);
        round_schedule(q, e, qmgr_wall_ms() + READ_AGAIN_MS);
        return;
    }
    m->begun = true;
    m->active_us = clock_wall_us();
    heap_set(&q->index.timers, &m->entry->timer,
        round_deadline_ms(q, m->entry));
    if (left > 0)
        log_write(LOG_LEVEL_INFO, q->tag,
            "%s: from=<" SLICE_FMT ">, size=%llu, nrcpt=%zu (queue active)",
            queue_id_text(m->id, q->long_ids, id), SLICE_ARG(sender),
            (unsigned long long)m->envelope.size, left);
    begin_batch(q, m);
}
