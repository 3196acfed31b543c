#include "qmgr/dispatch.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "lib/mail/queue_id.h"
#include "qmgr/assign.h"
#include "qmgr/bundle.h"
#include "qmgr/health.h"
#include "qmgr/inside.h"
#include "qmgr/late.h"
#include "qmgr/notify.h"
#include "qmgr/readback.h"
#include "qmgr/settle.h"

#include <assert.h>
#include <stdlib.h>

/* Agents. */

void
dispatch_touch_role(struct qmgr *q, enum role role)
{
    for (struct map_node *n = map_first(&q->transports); n != NULL;
         n = map_after(&q->transports, n)) {
        struct transport *t = LIST_ENTRY(n, struct transport, node);

        if (t->kind != TRANSPORT_AGENT || t->role != role)
            continue;
        t->agentless_ms = 0;
        transport_touch(q, t);
    }
}

/* Jobs. */

static bool
same_nonce(const struct map_node *node, const void *key)
{
    return ((const struct job *)(const void *)node)->attempt.nonce ==
        *(const uint64_t *)key;
}

struct job *
job_new(struct qmgr *q, struct mail *m, enum job_kind kind, size_t count)
{
    struct job *j = mem_alloc(sizeof(*j) + count * sizeof(j->rcpts[0]));

    j->kind = kind;
    j->message = m;
    j->fd = -1;
    j->attempt.id = m->id;
    j->attempt.nonce = random_u64();
    j->attempt.number = (uint32_t)m->entry->attempts + 1;
    list_append(&m->jobs, &j->link);
    m->notices += kind != JOB_DELIVERY;
    list_init(&j->wait_link);
    list_init(&j->lost_link);
    map_add(&q->jobs, map_hash_u64(j->attempt.nonce), &j->node);
    q->jobs_out++;
    return j;
}

void
job_take(struct job *j, struct rcpt *r)
{
    j->rcpts[j->count++] = r;
    if (j->kind == JOB_DELAY ||
        (j->kind == JOB_REPORT && r->state != RCPT_DONE))
        return;
    r->job = j;
    rcpt_set_state(r, RCPT_OUT);
}

struct job *
job_find(struct qmgr *q, const struct attempt *attempt)
{
    struct map_node *n = map_find(&q->jobs, map_hash_u64(attempt->nonce),
        same_nonce, &attempt->nonce);
    struct job *j;

    if (n == NULL)
        return NULL;
    j = LIST_ENTRY(n, struct job, node);
    if (j->attempt.id != attempt->id || j->attempt.number != attempt->number)
        return NULL;
    return j;
}

static void
fence(struct qmgr *q, struct job *j)
{
    if (j->fenced)
        return;
    j->fenced = true;
    map_remove(&q->jobs, &j->node);
}

static void
forget_message(struct job *j)
{
    j->message->notices -= j->kind != JOB_DELIVERY;
    list_remove(&j->link);
    list_remove(&j->wait_link);
    j->message = NULL;
}

void
job_release(struct qmgr *q, struct job *j)
{
    if (!j->ended || j->settling > 0 || j->opening)
        return;
    fence(q, j);
    if (j->message != NULL) {
        mail_touch(q, j->message);
        forget_message(j);
    }
    if (j->fd >= 0)
        q->outside->close(q->context, j->fd);
    q->jobs_out--;
    mem_free(j);
}

/* Whoever found it full, or kept free for a message, waits for just this. */
static void
end_at_agent(struct qmgr *q, struct job *j)
{
    struct agent *a = j->agent;
    bool waited_for = a->running >= AGENT_JOBS || a->alone != 0;

    assert(a->running > 0);
    j->agent = NULL;
    a->running--;
    a->lists -= j->of_list;
    if (a->alone == j->attempt.id)
        a->alone = 0;
    if (waited_for)
        dispatch_touch_role(q, a->role);
    agent_release(q, a);
}

void
job_end(struct qmgr *q, struct job *j)
{
    struct destination *d = j->destination;

    if (j->ended)
        return;
    j->ended = true;
    if (j->kind != JOB_DELIVERY)
        notify_ended(q);
    j->destination = NULL;
    if (j->agent != NULL)
        end_at_agent(q, j);
    if (d != NULL) {
        struct transport *t = d->transport;

        t->running--;
        destination_ended(q, d);
        transport_touch(q, t);
    }
    job_release(q, j);
}

void
job_fence_all(struct qmgr *q, struct mail *m)
{
    list_foreach_safe (it, &m->jobs) {
        struct job *j = LIST_ENTRY(it, struct job, link);

        fence(q, j);
        if (j->settling > 0)
            continue;
        forget_message(j);
        if (!j->sent)
            job_end(q, j);
    }
}

static int
compare_rcpts(const void *a, const void *b)
{
    uint32_t x = (*(struct rcpt *const *)a)->index;
    uint32_t y = (*(struct rcpt *const *)b)->index;

    return (x > y) - (x < y);
}

/*
 * Recipients come in the order in which they were resolved; an answer is
 * matched, and the agent sees them, in the order of the envelope.
 */
static void
sort_rcpts(struct job *j)
{
    qsort(j->rcpts, j->count, sizeof(j->rcpts[0]), compare_rcpts);
}

/* Sending. */

static void
fill_delivery(const struct qmgr *q, const struct job *j, struct delivery *d,
    struct delivery_recipient *rcpts)
{
    const struct mail *m = j->message;

    *d = (struct delivery){
        .attempt = j->attempt,
        .proof = late_prove(q, j),
        .transport = slice_of(j->destination->transport->name),
        .nexthop = slice_of(j->destination->nexthop),
        .envelope = m->envelope,
        .header = m->header,
        .body = m->body,
        .fd = j->fd,
        .body_length = m->record.blob != 0 ? m->record.blob_length
                                           : m->body.len,
        .body_crc = m->record.blob_crc,
        .active_us = m->active_us,
        .may_return = health_takes_back(j->destination),
        .recipients = rcpts,
        .recipient_count = j->count,
    };
    d->envelope.recipients = NULL;
    d->envelope.recipient_count = 0;
    for (size_t i = 0; i < j->count; i++) {
        rcpts[i].index = j->rcpts[i]->index;
        rcpts[i].rcpt = rcpt_told(q, j->rcpts[i]);
    }
}

static bool
send_delivery(struct qmgr *q, struct job *j)
{
    struct delivery_recipient *rcpts;
    struct delivery d;
    bool sent;

    if (j->agent->peer == NULL) {
        if (j->fd >= 0)
            q->outside->close(q->context, j->fd);
        return false;
    }
    rcpts = mem_alloc_array(j->count, sizeof(*rcpts));
    fill_delivery(q, j, &d, rcpts);
    sent = q->outside->deliver(q->context, j->agent, &d, j);
    mem_free(rcpts);
    return sent;
}

static void
send_now(struct qmgr *q, struct job *j)
{
    bool sent = j->kind == JOB_DELIVERY ? send_delivery(q, j)
                                        : notify_send(q, j);

    j->fd = -1;
    if (sent)
        j->sent = true;
    else
        settle_unsent(q, j);
}

static void
blob_opened(struct qmgr *q, struct disk_job *dj)
{
    struct job *j = dj->owner;

    j->opening = false;
    j->fd = dj->fd;
    if (j->message == NULL)
        job_release(q, j);
    else if (dj->result != RESULT_OK)
        job_give_up(q, j, dj->result, &dj->why);
    else
        send_now(q, j);
    disk_job_free(dj);
}

void
job_send(struct qmgr *q, struct job *j)
{
    struct disk_job *dj;

    if (j->message->record.blob == 0) {
        send_now(q, j);
        return;
    }
    j->opening = true;
    dj = disk_job_new(DISK_OPEN, blob_opened, j);
    dj->id = j->attempt.id;
    dj->blob = j->message->record.blob;
    disk_job_start(q, dj);
}

void
job_start(struct qmgr *q, struct job *j)
{
    sort_rcpts(j);
    mail_want_content(q, j->message, j);
}

void
job_give_up(struct qmgr *q, struct job *j, enum result res,
    const struct why *why)
{
    char id[QUEUE_ID_SIZE];

    /* A message that is to go on must not go on without its content. */
    if (res == RESULT_PERMFAIL && j->kind != JOB_DELIVERY &&
        j->kind != JOB_REQUEUE) {
        log_warning("%s: notice goes without the content: %s",
            queue_id_text(j->attempt.id, q->long_ids, id), why->text);
        j->bare = true;
        send_now(q, j);
        return;
    }

    if (res == RESULT_PERMFAIL && j->kind == JOB_REQUEUE && j->message != NULL)
        j->message->entry->flags &= (uint16_t)~ENTRY_REQUEUE;
    log_warning("%s: %s is not begun: %s",
        queue_id_text(j->attempt.id, q->long_ids, id),
        j->kind == JOB_DELIVERY ? "delivery" : "notice", why->text);
    settle_unsent(q, j);
}

/* Dispatch. */

enum start {
    STARTED,
    START_FULL,  /* no agent has room */
    START_LATER, /* others may: these wait for an agent of their own, or for
                    one that takes lists */
};

/*
 * Bundles take turns; one that has to wait for what others need not lets the
 * next one go first. NULL: *start says why.
 */
static struct bundle *
next_bundle(struct qmgr *q, struct destination *d, struct agent **a,
    enum start *start)
{
    const struct list *last = d->bundles.prev;
    enum assignment found;

    for (;;) {
        struct list *it = d->bundles.next;
        struct bundle *b = LIST_ENTRY(it, struct bundle, link);

        list_remove(it);
        list_append(&d->bundles, it);
        found = assign(q, d, b->message, a);
        if (found == ASSIGNED)
            return b;
        *start = found == ASSIGN_LATER ? START_LATER : START_FULL;
        if (*start == START_FULL || it == last)
            return NULL;
    }
}

static enum start
start_one(struct qmgr *q, struct destination *d)
{
    struct transport *t = d->transport;
    enum start start;
    struct agent *a;
    struct bundle *b = next_bundle(q, d, &a, &start);
    size_t most;
    struct job *j;

    if (b == NULL)
        return start;
    most = b->count;
    if (t->recipient_limit > 0 && most > (size_t)t->recipient_limit)
        most = (size_t)t->recipient_limit;
    j = job_new(q, b->message, JOB_DELIVERY, most);
    j->destination = d;
    j->generation = d->generation;
    j->agent = a;
    j->of_list = mail_is_large(b->message);
    a->running++;
    a->lists += j->of_list;
    t->running++;
    while (most-- > 0)
        job_take(j, bundle_next(q, b));
    if (b->count == 0)
        (void)bundle_next(q, b);
    destination_started(q, d);
    job_start(q, j);
    return STARTED;
}

/* How long a transport may be without a process before its mail is deferred. */
static void
mind_agentless(struct qmgr *q, struct transport *t)
{
    int64_t now = clock_now_ms();

    if (agent_count(q, t->role) > 0) {
        t->agentless_ms = 0;
        return;
    }
    if (t->agentless_ms == 0) {
        t->agentless_ms = now;
        timer_arm(q, &t->timer, now + q->config->transport_retry_time);
        return;
    }
    if (now - t->agentless_ms < q->config->transport_retry_time) {
        /* The timer may have been wanted for something else meanwhile. */
        timer_arm(q, &t->timer,
            t->agentless_ms + q->config->transport_retry_time);
        return;
    }
    log_warning("transport %s: no process for %lld s, mail is deferred",
        t->name, (long long)(now - t->agentless_ms) / 1000);
    t->agentless_ms = 0;
    list_foreach_safe (it, &t->ready)
        destination_refuse_all(q,
            LIST_ENTRY(it, struct destination, ready_link), "4.3.0",
            "mail transport unavailable");
}

static bool
may_start(struct qmgr *q, struct transport *t)
{
    if (t->process_limit > 0 && t->running >= (size_t)t->process_limit)
        return false;
    if (t->next_start_ms > clock_now_ms()) {
        timer_arm(q, &t->timer, t->next_start_ms);
        return false;
    }
    return true;
}

/*
 * The bundle of a suspect that could start now, at the front of its
 * destination's queue. NULL when there is none.
 */
static struct destination *
bring_forward(struct qmgr *q, uint64_t id)
{
    const struct entry *e = index_find(&q->index, id);

    if (e == NULL || e->message == NULL || !entry_is_suspect(e))
        return NULL;
    list_foreach (it, &e->message->bundles) {
        struct bundle *b = LIST_ENTRY(it, struct bundle, message_link);

        if (b->gathering || list_empty(&b->destination->ready_link))
            continue;
        list_remove(&b->link);
        list_prepend(&b->destination->bundles, &b->link);
        return b->destination;
    }
    return NULL;
}

/*
 * An idle agent that is kept free for a suspect gets it before anything else is
 * tried, or is kept free no longer: nothing that runs would bring it up again.
 */
static void
serve_suspects(struct qmgr *q, struct transport *t)
{
    list_foreach (it, &q->agents) {
        struct agent *a = LIST_ENTRY(it, struct agent, link);
        struct destination *d;

        if (a->role != t->role || a->alone == 0 || a->running > 0)
            continue;
        d = bring_forward(q, a->alone);
        if (d == NULL)
            a->alone = 0;
        else if (!may_start(q, d->transport))
            continue;
        else if (d->transport != t)
            transport_touch(q, d->transport);
        else
            (void)start_one(q, d);
    }
}

/* Destinations take turns; those that cannot go on now wait for an event. */
static void
run_transport(struct qmgr *q, struct transport *t)
{
    enum start start = STARTED;
    struct list aside, *it;

    list_init(&aside);
    serve_suspects(q, t);
    while (start != START_FULL && may_start(q, t) &&
        (it = list_take(&t->ready)) != NULL) {
        struct destination *d = LIST_ENTRY(it, struct destination, ready_link);

        list_append(&t->ready, it);
        start = start_one(q, d);
        if (start == STARTED && t->spacing_ms > 0)
            t->next_start_ms = clock_now_ms() + t->spacing_ms;
        if (start == START_LATER) {
            list_remove(it);
            list_append(&aside, it);
        }
    }
    while ((it = list_take(&aside)) != NULL)
        list_append(&t->ready, it);
    if (!list_empty(&t->ready) && start == START_FULL)
        mind_agentless(q, t);
}

void
dispatch(struct qmgr *q)
{
    struct list *it;

    if (list_empty(&q->ready) || !reserve_allows(q))
        return;
    while (!q->stopping && (it = list_take(&q->ready)) != NULL)
        run_transport(q, LIST_ENTRY(it, struct transport, ready_link));
}

void
dispatch_fini(struct qmgr *q)
{
    agent_fini_all(q);
    assert(q->jobs_out == 0);
    map_fini(&q->jobs);
}
