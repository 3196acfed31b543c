#include "qmgr/adopt.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "qmgr/adopt_private.h"
#include "qmgr/adopted.h"
#include "qmgr/lease.h"
#include "qmgr/record.h"

#include <inttypes.h>
#include <string.h>

enum {
    WAIT_MS = 10, /* for ids of our own */
    /* Of a transaction, for what its records and its META have around them. */
    AROUND_OCTETS = 64,
};

/* The end. */

static void
closed(struct qmgr *q, struct disk_job *j)
{
    struct adoption *a = j->owner;

    if (q->adoption == a)
        q->adoption = NULL;
    disk_job_free(j);
    (void)a->order.disk->close(a->order.disk, a->order.dir);
    timer_disarm(q, &a->timer);
    adopt_batch_free(a->batch);
    mem_free(a->sources);
    buf_fini(&a->briefs);
    a->order.done(a->order.context, &a->end);
    mem_free(a);
}

static void
close_source(struct spool *s, void *owner)
{
    struct adoption *a = owner;

    (void)s;
    spool_close(a->from);
    a->from = NULL;
}

void
adopt_start_job(struct adoption *a, void (*call)(struct spool *s, void *owner),
    void (*done)(struct qmgr *q, struct disk_job *j))
{
    struct disk_job *j = disk_job_new(DISK_CALL, done, a);

    j->call = call;
    disk_job_start(a->q, j);
}

void
adopt_finish(struct adoption *a, enum result res, const struct why *why)
{
    a->end.result = res;
    if (why != NULL)
        a->end.why = *why;
    adopt_start_job(a, close_source, closed);
}

/* All of it is here, durably: the other spool may know. */

static void
mark_source(struct spool *s, void *owner)
{
    struct adoption *a = owner;

    (void)s;
    a->result = spool_mark_adopted(a->from, &a->why);
}

static void
marked(struct qmgr *q, struct disk_job *j)
{
    struct adoption *a = j->owner;

    (void)q;
    if (a->result == RESULT_OK)
        log_info("spool %s is adopted: %" PRIu64 " messages", a->other,
            a->end.moved + a->end.repeated);
    adopt_finish(a, a->result, &a->why);
    disk_job_free(j);
}

static void
completed(struct qmgr *q, struct txn *t)
{
    struct adoption *a = t->owner;

    if (t->spool.result == RESULT_OK) {
        const struct adopted_record r = { .spool = slice_of(a->other),
            .complete = true };

        adopted_found(q, &r, &t->records[0].place);
        adopt_start_job(a, mark_source, marked);
    } else {
        adopt_finish(a, t->spool.result, &t->spool.why);
    }
    txn_free(t);
}

static void
complete(struct adoption *a)
{
    struct txn *t = txn_new(completed, a);
    const struct adopted_record r = { .spool = slice_of(a->other),
        .complete = true };

    adopted_record_encode(&r, &t->heads[txn_add(t, RECORD_META, 0)]);
    txn_commit(a->q, t);
}

/* How many records from here are of one message. */
static size_t
records_of(const struct adoption *a, size_t at)
{
    size_t n = 1;

    while (at + n < a->count && a->sources[at + n].id == a->sources[at].id)
        n++;
    return n;
}

static uint64_t
octets_of(const struct adoption *a, size_t at, size_t count)
{
    uint64_t octets = AROUND_OCTETS;

    for (size_t i = 0; i < count; i++)
        octets += a->sources[at + i].place.length +
            a->sources[at + i].brief_len + AROUND_OCTETS;
    return octets;
}

static void
waited(struct qmgr *q, struct timer *t)
{
    (void)q;
    adopt_next(LIST_ENTRY(t, struct adoption, timer));
}

void
adopt_next(struct adoption *a)
{
    const struct adopted *before = adopted_find(a->q, slice_of(a->other));
    struct batch *b = a->batch;
    uint64_t octets = 0;
    struct why why;

    if (a->q->stopping && !a->order.offline) {
        adopt_finish(a, why_temp(&why, "4.3.2", "mail system is stopping"),
            &why);
        return;
    }
    if (!lease_ready(a->q, BATCH_MESSAGES)) {
        timer_arm(a->q, &a->timer, clock_now_ms() + WAIT_MS);
        return;
    }
    while (a->at < a->count) {
        size_t n = records_of(a, a->at);
        uint64_t more = octets_of(a, a->at, n);

        if (before != NULL && adopted_has(before, a->sources[a->at].id)) {
            a->end.repeated++;
        } else if (n >= SPOOL_TXN_MAX || more > a->txn_octets) {
            adopt_leave(a, a->sources[a->at].id,
                "it is larger than queue_segment_size allows");
        } else if (adopt_batch_takes(a, n, octets + more)) {
            adopt_batch_add(a, a->at, n);
            octets += more;
        } else {
            break;
        }
        a->at += n;
    }
    if (b->parcel_count > 0)
        adopt_batch_move(a);
    else
        complete(a);
}

/* The beginning: what is there. */

static bool
found(void *context, const struct spool_found *f, struct why *why)
{
    struct adoption *a = context;
    struct source *s;

    if (f->type == RECORD_META || f->type == RECORD_REPLACE)
        return true;
    if (a->count == a->room) {
        a->room = a->room == 0 ? 256 : a->room * 2;
        a->sources = mem_resize(a->sources, a->room * sizeof(*a->sources));
    }
    s = &a->sources[a->count];
    *s = (struct source){
        .id = f->id,
        .blob = f->blob,
        .place = f->place,
        .brief_at = (uint32_t)a->briefs.len,
        .brief_len = (uint16_t)f->brief.len,
        .type = (uint8_t)f->type,
        .parted = f->parted,
    };
    buf_add(&a->briefs, f->brief);
    if (buf_failed(&a->briefs)) {
        (void)why_temp(why, "4.3.0", "spool is too large to be adopted");
        return false;
    }
    a->count++;
    return true;
}

static void
damage(void *context, const char *text)
{
    (void)context;
    log_error("adopted spool: damage set aside: %s", text);
}

static void
open_source(struct spool *s, void *owner)
{
    struct adoption *a = owner;
    const struct spool_options options = {
        .disk = a->order.disk,
        .dir = a->order.dir,
        .segment_size = (uint64_t)a->q->config->queue_segment_size,
        .adopter = a->own,
    };
    struct spool_identity identity;

    a->batch_octets = spool_txn_max(s) / 4 < BATCH_OCTETS ? spool_txn_max(s) / 4
                                                          : BATCH_OCTETS;
    a->txn_octets = spool_txn_max(s);
    spool_identity(s, &identity);
    memcpy(a->own, identity.id, sizeof(a->own));
    a->result = spool_open(&options, found, damage, a, &a->from, &a->why);
    if (a->result != RESULT_OK)
        return;
    spool_identity(a->from, &identity);
    memcpy(a->other, identity.id, sizeof(a->other));
    a->is_new = identity.adopted_now;
}

/* What the other one of two copies had is here. */
static void
leave_source(struct spool *s, void *owner)
{
    struct adoption *a = owner;

    (void)s;
    a->result = spool_leave(a->from, &a->why);
}

static void
left(struct qmgr *q, struct disk_job *j)
{
    struct adoption *a = j->owner;
    struct why why = a->why;
    enum result res = a->result;

    (void)q;
    disk_job_free(j);
    if (res == RESULT_OK)
        res = strcmp(a->own, a->other) == 0
            ? why_perm(&why, "5.3.0", "it is a copy of our own spool")
            : why_perm(&why, "5.3.0",
                  "spool %s was adopted before: this is a copy of it",
                  a->other);
    adopt_finish(a, res, &why);
}

static void
source_open(struct qmgr *q, struct disk_job *j)
{
    struct adoption *a = j->owner;
    const struct adopted *before;
    enum result res = a->result;
    struct why why = a->why;

    disk_job_free(j);
    if (res != RESULT_OK) {
        adopt_finish(a, res, &why);
        return;
    }
    before = adopted_find(q, slice_of(a->other));
    if (strcmp(a->own, a->other) == 0) { /* NOLINT(bugprone-branch-clone) */
        adopt_start_job(a, leave_source, left);
    } else if (before == NULL || !before->complete) {
        log_info("spool %s is being adopted: %zu records", a->other, a->count);
        adopt_next(a);
    } else if (a->is_new) {
        adopt_start_job(a, leave_source, left);
    } else if (spool_adoption(a->from) == SPOOL_ADOPTED) {
        adopt_finish(a, RESULT_OK, NULL); /* it was done, and the answer lost */
    } else {
        adopt_start_job(a, mark_source, marked);
    }
}

void
adopt_begin(struct qmgr *q, const struct adopt_order *order)
{
    struct adoption *a = mem_alloc(sizeof(*a));
    struct why why;

    a->q = q;
    a->order = *order;
    a->timer.fire = waited;
    a->batch = adopt_batch_new();
    buf_init(&a->briefs, UINT32_MAX);
    if (q->adoption != NULL) {
        adopt_finish(a,
            why_temp(&why, "4.3.0", "another spool is being adopted"), &why);
        return;
    }
    q->adoption = a;
    adopt_start_job(a, open_source, source_open);
}
