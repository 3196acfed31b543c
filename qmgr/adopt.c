#include "qmgr/adopt.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/envelope.h"
#include "lib/mail/queue_id.h"
#include "qmgr/adopted.h"
#include "qmgr/intake.h"
#include "qmgr/lease.h"
#include "qmgr/record.h"
#include "qmgr/recover.h"

#include <inttypes.h>
#include <string.h>

enum {
    BATCH_MESSAGES = 64, /* in one transaction, */
    BATCH_RECORDS = 1000,
    BATCH_OCTETS = 512 * 1024,
    WAIT_MS = 10, /* for ids of our own */
    RECORD_OCTETS_MAX = 1 << 30,
    ARENA_OCTETS_MAX = 256 * 1024 * 1024,
    ADOPTED_ORIGIN = UINT16_MAX, /* no submitter's: should one have leased the
                                    id of a message that came, he is refused */
};

/* A record of the other spool, as its recovery told it. */
struct source {
    uint64_t id, blob;
    struct spool_place place;
    uint32_t brief_at;
    uint16_t brief_len;
    uint8_t type;
    bool parted;
};

/* One record on its way from there to here. */
struct passing {
    const struct source *source;
    struct buf head, content;
};

/* One message: what is of it in the batch's records. */
struct parcel {
    uint64_t id, old_id;
    size_t first, count;
    uint64_t blob; /* here */
    bool damaged;
};

struct batch {
    struct passing passing[BATCH_RECORDS];
    struct parcel parcels[BATCH_MESSAGES];
    size_t count, parcel_count;
    struct spool_record records[BATCH_RECORDS + 1];
    struct buf ids, meta;
};

struct adoption {
    struct qmgr *q;
    struct adopt_order order;
    struct adopt_end end;
    struct spool *from;
    char own[33], other[33];
    enum result result; /* of the disk job */
    struct why why;
    bool is_new; /* nobody had begun to adopt it */

    struct source *sources;
    size_t count, room, at;
    struct buf briefs;

    struct batch *batch;
    uint64_t batch_octets;
    struct timer timer;
};

static void next_batch(struct adoption *a);

/* The end. */

static void
batch_clear(struct batch *b)
{
    for (size_t i = 0; i < b->count; i++) {
        buf_fini(&b->passing[i].head);
        buf_fini(&b->passing[i].content);
    }
    b->count = b->parcel_count = 0;
    buf_clear(&b->ids);
    buf_clear(&b->meta);
}

static void
closed(struct qmgr *q, struct disk_job *j)
{
    struct adoption *a = j->owner;

    if (q->adoption == a)
        q->adoption = NULL;
    disk_job_free(j);
    (void)a->order.disk->close(a->order.disk, a->order.dir);
    timer_disarm(q, &a->timer);
    batch_clear(a->batch);
    buf_fini(&a->batch->ids);
    buf_fini(&a->batch->meta);
    mem_free(a->batch);
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

static void
start_job(struct adoption *a, void (*call)(struct spool *s, void *owner),
    void (*done)(struct qmgr *q, struct disk_job *j))
{
    struct disk_job *j = disk_job_new(DISK_CALL, done, a);

    j->call = call;
    disk_job_start(a->q, j);
}

static void
finish(struct adoption *a, enum result res, const struct why *why)
{
    a->end.result = res;
    if (why != NULL)
        a->end.why = *why;
    start_job(a, close_source, closed);
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
    finish(a, a->result, &a->why);
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
        start_job(a, mark_source, marked);
    } else {
        finish(a, t->spool.result, &t->spool.why);
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

/* What was copied in vain. */
static void
drop_blobs(struct adoption *a)
{
    for (size_t i = 0; i < a->batch->parcel_count; i++)
        if (a->batch->parcels[i].blob != 0)
            intake_drop_blob(a->q, a->batch->parcels[i].blob);
}

/* A batch that is durable: mail in the queue. */

static void
enter_record(struct adoption *a, const struct parcel *p, size_t n)
{
    const struct spool_record *r = &a->batch->records[n];
    const struct spool_found f = {
        .type = r->type,
        .id = p->id,
        .brief = r->brief,
        .head = r->head,
        .place = r->place,
        .blob = r->blob,
    };
    struct why why;

    (void)recover_found(a->q, &f, &why);
}

static void
enter(struct adoption *a, const struct parcel *p)
{
    char id[QUEUE_ID_SIZE], old[QUEUE_ID_SIZE];
    struct qmgr *q = a->q;
    struct entry *e;

    if (p->damaged)
        return;
    for (size_t i = 0; i < p->count; i++)
        enter_record(a, p, p->first + i);
    e = index_find(&q->index, p->id);
    e->origin = ADOPTED_ORIGIN;
    recover_one_end(q, e);
    a->end.moved++;
    (void)queue_id_text(p->id, q->long_ids, id);
    if (p->id == p->old_id)
        log_write(LOG_LEVEL_INFO, q->tag, "%s: adopted from spool %s", id,
            a->other);
    else
        log_write(LOG_LEVEL_INFO, q->tag, "%s: adopted from spool %s, was %s",
            id, a->other, queue_id_text(p->old_id, q->long_ids, old));
}

static void
batch_done(struct qmgr *q, struct txn *t)
{
    struct adoption *a = t->owner;
    struct batch *b = a->batch;
    const struct adopted_record r = {
        .spool = slice_of(a->other),
        .ids = buf_slice(&b->ids),
    };

    if (t->spool.result != RESULT_OK) {
        drop_blobs(a);
        finish(a, t->spool.result, &t->spool.why);
    } else {
        adopted_found(q, &r, &b->records[b->count].place);
        for (size_t i = 0; i < b->parcel_count; i++)
            enter(a, &b->parcels[i]);
        batch_clear(b);
        qmgr_wake(q);
        next_batch(a);
    }
    mem_free(t);
}

/* Its transaction. */

static void
set_damaged(struct adoption *a, struct parcel *p, const char *text)
{
    char id[QUEUE_ID_SIZE];

    log_error("spool %s: message %s stays there: %s", a->other,
        queue_id_text(p->old_id, a->q->long_ids, id), text);
    p->damaged = true;
    a->end.damaged++;
}

/* Its envelope names the id, its record the number of its blob. */
static enum result
rewrite_head(const struct parcel *p, struct buf *head, struct why *why)
{
    struct message_record r;
    struct envelope env;
    struct arena arena;
    struct buf envelope, made;
    enum result res = message_record_decode(buf_slice(head), &r, why);

    if (res != RESULT_OK || (p->id == p->old_id && r.blob == p->blob))
        return res;
    arena_init(&arena, ARENA_OCTETS_MAX);
    buf_init(&envelope, RECORD_OCTETS_MAX);
    buf_init(&made, RECORD_OCTETS_MAX);
    r.blob = p->blob;
    res = envelope_decode(r.envelope, &arena, &env, why);
    if (res == RESULT_OK) {
        env.id = p->id;
        envelope_encode(&env, &envelope);
        r.envelope = buf_slice(&envelope);
        message_record_encode(&r, &made);
        buf_clear(head);
        buf_add(head, buf_slice(&made));
    }
    buf_fini(&envelope);
    buf_fini(&made);
    arena_clear(&arena);
    return res;
}

/* Is it ours to give to this message? */
static bool
may_keep_id(struct qmgr *q, const struct batch *b, uint64_t id)
{
    for (size_t i = 0; i < b->parcel_count; i++)
        if (b->parcels[i].id == id)
            return false;
    return lease_covers(q, id) && index_find(&q->index, id) == NULL;
}

static void
give_id(struct adoption *a, struct parcel *p)
{
    p->id = 0;
    p->id = may_keep_id(a->q, a->batch, p->old_id) ? p->old_id
                                                   : lease_take(a->q);
}

static void
fill_record(struct adoption *a, const struct parcel *p, size_t n)
{
    const struct passing *from = &a->batch->passing[n];
    const struct source *s = from->source;

    a->batch->records[n] = (struct spool_record){
        .type = (enum record_type)s->type,
        .id = p->id,
        .brief = { a->briefs.ptr + s->brief_at, s->brief_len },
        .head = buf_slice(&from->head),
        .content = buf_slice(&from->content),
        .blob = s->type == RECORD_MESSAGE ? p->blob : 0,
    };
}

/* What is damaged is taken out: the others move up. */
static void
drop_damaged(struct batch *b)
{
    size_t kept = 0, parcels = 0;

    for (size_t i = 0; i < b->parcel_count; i++) {
        struct parcel p = b->parcels[i];
        size_t first = kept;

        for (size_t k = 0; k < p.count; k++) {
            struct passing one = b->passing[p.first + k];

            if (p.damaged) {
                buf_fini(&one.head);
                buf_fini(&one.content);
            } else {
                b->passing[kept++] = one;
            }
        }
        if (p.damaged)
            continue;
        p.first = first;
        b->parcels[parcels++] = p;
    }
    b->count = kept;
    b->parcel_count = parcels;
}

static void
commit(struct adoption *a)
{
    struct batch *b = a->batch;
    struct adopted_record r = { .spool = slice_of(a->other) };
    struct txn *t;

    for (size_t i = 0; i < b->parcel_count; i++) {
        struct parcel *p = &b->parcels[i];
        struct why why;

        if (p->damaged)
            continue;
        give_id(a, p);
        if (rewrite_head(p, &b->passing[p->first].head, &why) == RESULT_OK)
            continue;
        set_damaged(a, p, why.text);
        if (p->blob != 0)
            intake_drop_blob(a->q, p->blob);
    }
    drop_damaged(b);
    if (b->parcel_count == 0) {
        batch_clear(b);
        next_batch(a);
        return;
    }
    for (size_t i = 0; i < b->parcel_count; i++) {
        for (size_t k = 0; k < b->parcels[i].count; k++)
            fill_record(a, &b->parcels[i], b->parcels[i].first + k);
        adopted_record_add(&b->ids, b->parcels[i].old_id);
    }
    r.ids = buf_slice(&b->ids);
    adopted_record_encode(&r, &b->meta);
    b->records[b->count] = (struct spool_record){
        .type = RECORD_META,
        .head = buf_slice(&b->meta),
    };
    t = txn_new(batch_done, a);
    t->spool.records = b->records;
    t->spool.record_count = b->count + 1;
    txn_send(a->q, t);
}

/* A batch is read, by the thread that blocks. */

static enum result
read_message(struct adoption *a, const struct parcel *p, struct why *why)
{
    struct passing *m = &a->batch->passing[p->first];
    enum result res = spool_read(a->from, &m->source->place, p->old_id,
        &m->head, &m->content, why);

    if (res != RESULT_OK || !m->source->parted)
        return res;
    if (p->count < 2 || m[1].source->type != RECORD_CONTENT)
        return why_perm(why, "5.3.0", "its content is missing");
    return spool_read(a->from, &m[1].source->place, p->old_id, &m[1].head,
        &m->content, why);
}

static enum result
read_changes(struct adoption *a, const struct parcel *p, struct why *why)
{
    enum result res = RESULT_OK;

    for (size_t i = 1; res == RESULT_OK && i < p->count; i++) {
        struct passing *c = &a->batch->passing[p->first + i];

        if (c->source->type != RECORD_CONTENT)
            res = spool_read(a->from, &c->source->place, p->old_id, &c->head,
                &c->content, why);
    }
    return res;
}

static enum result
copy_blob(struct adoption *a, struct spool *s, struct parcel *p,
    struct why *why)
{
    const struct passing *m = &a->batch->passing[p->first];
    struct message_record r;
    enum result res = message_record_decode(buf_slice(&m->head), &r, why);

    if (res != RESULT_OK)
        return res;
    return spool_blob_copy(s, a->from, m->source->blob, r.blob_length,
        r.blob_crc, &p->blob, why);
}

static void
read_batch(struct spool *s, void *owner)
{
    struct adoption *a = owner;

    a->result = RESULT_OK;
    for (size_t i = 0; i < a->batch->parcel_count; i++) {
        struct parcel *p = &a->batch->parcels[i];
        enum result res = read_message(a, p, &a->why);

        if (res == RESULT_OK)
            res = read_changes(a, p, &a->why);
        if (res == RESULT_OK && a->batch->passing[p->first].source->blob != 0)
            res = copy_blob(a, s, p, &a->why);
        if (res == RESULT_PERMFAIL)
            set_damaged(a, p, a->why.text);
        if (res == RESULT_TEMPFAIL) {
            a->result = res;
            return;
        }
    }
}

/* The content of a parted message is with it again. */
static void
drop_contents(struct batch *b)
{
    size_t kept = 0;

    for (size_t i = 0; i < b->parcel_count; i++) {
        struct parcel *p = &b->parcels[i];
        size_t first = kept, count = p->count;

        p->count = 0;
        for (size_t k = 0; k < count; k++) {
            struct passing one = b->passing[p->first + k];

            if (one.source->type == RECORD_CONTENT) {
                buf_fini(&one.head);
                buf_fini(&one.content);
                continue;
            }
            b->passing[kept++] = one;
            p->count++;
        }
        p->first = first;
    }
    b->count = kept;
}

static void
batch_read(struct qmgr *q, struct disk_job *j)
{
    struct adoption *a = j->owner;

    (void)q;
    if (a->result != RESULT_OK) {
        drop_blobs(a);
        finish(a, a->result, &a->why);
    } else {
        drop_contents(a->batch);
        commit(a);
    }
    disk_job_free(j);
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

static void
add_parcel(struct adoption *a, size_t at, size_t count)
{
    struct batch *b = a->batch;

    b->parcels[b->parcel_count++] = (struct parcel){
        .old_id = a->sources[at].id,
        .first = b->count,
        .count = count,
    };
    for (size_t i = 0; i < count; i++) {
        struct passing *p = &b->passing[b->count++];

        *p = (struct passing){ .source = &a->sources[at + i] };
        buf_init(&p->head, RECORD_OCTETS_MAX);
        buf_init(&p->content, RECORD_OCTETS_MAX);
    }
}

static void
waited(struct qmgr *q, struct timer *t)
{
    (void)q;
    next_batch(LIST_ENTRY(t, struct adoption, timer));
}

static void
next_batch(struct adoption *a)
{
    const struct adopted *before = adopted_find(a->q, slice_of(a->other));
    struct batch *b = a->batch;
    uint64_t octets = 0;
    struct why why;

    if (a->q->stopping && !a->order.offline) {
        finish(a, why_temp(&why, "4.3.2", "mail system is stopping"), &why);
        return;
    }
    if (!lease_ready(a->q, BATCH_MESSAGES)) {
        timer_arm(a->q, &a->timer, clock_now_ms() + WAIT_MS);
        return;
    }
    while (a->at < a->count && b->parcel_count < BATCH_MESSAGES &&
        octets < a->batch_octets) {
        size_t n = records_of(a, a->at);

        if (before != NULL && adopted_has(before, a->sources[a->at].id)) {
            a->end.repeated++;
            a->at += n;
            continue;
        }
        if (n > BATCH_RECORDS) {
            finish(a, why_perm(&why, "5.3.0", "a message has too many records"),
                &why);
            return;
        }
        if (b->count + n > BATCH_RECORDS)
            break;
        add_parcel(a, a->at, n);
        for (size_t i = 0; i < n; i++)
            octets += a->sources[a->at++].place.length;
    }
    if (b->parcel_count > 0)
        start_job(a, read_batch, batch_read);
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
    finish(a, res, &why);
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
        finish(a, res, &why);
        return;
    }
    before = adopted_find(q, slice_of(a->other));
    if (strcmp(a->own, a->other) == 0) { /* NOLINT(bugprone-branch-clone) */
        start_job(a, leave_source, left);
    } else if (before == NULL || !before->complete) {
        log_info("spool %s is being adopted: %zu records", a->other, a->count);
        next_batch(a);
    } else if (a->is_new) {
        start_job(a, leave_source, left);
    } else if (spool_adoption(a->from) == SPOOL_ADOPTED) {
        finish(a, RESULT_OK, NULL); /* it was done, and the answer lost */
    } else {
        start_job(a, mark_source, marked);
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
    a->batch = mem_alloc(sizeof(*a->batch));
    buf_init(&a->briefs, UINT32_MAX);
    buf_init(&a->batch->ids, RECORD_OCTETS_MAX);
    buf_init(&a->batch->meta, RECORD_OCTETS_MAX);
    if (q->adoption != NULL) {
        finish(a, why_temp(&why, "4.3.0", "another spool is being adopted"),
            &why);
        return;
    }
    q->adoption = a;
    start_job(a, open_source, source_open);
}
