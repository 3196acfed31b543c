/*
 * adopt_batch - messages of another spool that come with one transaction: read
 * there, given ids of ours, written here, and then in the queue.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/envelope.h"
#include "lib/mail/queue_id.h"
#include "qmgr/adopt_private.h"
#include "qmgr/adopted.h"
#include "qmgr/intake.h"
#include "qmgr/lease.h"
#include "qmgr/lend.h"
#include "qmgr/record.h"
#include "qmgr/recover.h"

enum {
    RECORD_OCTETS_MAX = 1 << 30,
    ARENA_OCTETS_MAX = 256 * 1024 * 1024,
    ADOPTED_ORIGIN = UINT16_MAX, /* no submitter's: should one have leased the
                                    id of a message that came, he is refused */
};

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

/* What was copied in vain. */
static void
drop_blobs(struct adoption *a)
{
    for (size_t i = 0; i < a->batch->parcel_count; i++)
        if (a->batch->parcels[i].blob != 0)
            lend_drop(a->q, a->batch->parcels[i].blob);
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
    e = q->recovering;
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
        adopt_finish(a, t->spool.result, &t->spool.why);
    } else {
        adopted_found(q, &r, &b->records[b->count].place);
        for (size_t i = 0; i < b->parcel_count; i++)
            enter(a, &b->parcels[i]);
        batch_clear(b);
        qmgr_wake(q);
        adopt_next(a);
    }
    mem_free(t);
}

/* Its transaction. */

void
adopt_leave(struct adoption *a, uint64_t id, const char *text)
{
    char name[QUEUE_ID_SIZE];

    log_error("spool %s: message %s stays there: %s", a->other,
        queue_id_text(id, a->q->long_ids, name), text);
    a->end.damaged++;
}

static void
set_damaged(struct adoption *a, struct parcel *p, const char *text)
{
    adopt_leave(a, p->old_id, text);
    p->damaged = true;
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

static bool
has_id(const struct batch *b, uint64_t id)
{
    for (size_t i = 0; i < b->parcel_count; i++)
        if (b->parcels[i].id == id)
            return true;
    return false;
}

bool
adopt_brings(const struct qmgr *q, uint64_t id)
{
    return q->adoption != NULL && has_id(q->adoption->batch, id);
}

/* Is it ours to give to this message? */
static bool
may_keep_id(struct qmgr *q, const struct batch *b, uint64_t id)
{
    return !has_id(b, id) && lease_covers(q, id) &&
        index_find(&q->index, id) == NULL;
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
            lend_drop(a->q, p->blob);
    }
    drop_damaged(b);
    if (b->parcel_count == 0) {
        batch_clear(b);
        adopt_next(a);
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
        adopt_finish(a, a->result, &a->why);
    } else {
        drop_contents(a->batch);
        commit(a);
    }
    disk_job_free(j);
}

static void
make_room(struct batch *b, size_t count)
{
    if (count <= b->room)
        return;
    b->passing = mem_resize(b->passing, count * sizeof(*b->passing));
    b->records = mem_resize(b->records, (count + 1) * sizeof(*b->records));
    b->room = count;
}

bool
adopt_batch_takes(const struct adoption *a, size_t count, uint64_t octets)
{
    const struct batch *b = a->batch;

    return b->parcel_count == 0 ||
        (b->parcel_count < BATCH_MESSAGES &&
            b->count + count <= BATCH_RECORDS && octets <= a->batch_octets);
}

void
adopt_batch_add(struct adoption *a, size_t at, size_t count)
{
    struct batch *b = a->batch;

    make_room(b, b->count + count);

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

void
adopt_batch_move(struct adoption *a)
{
    adopt_start_job(a, read_batch, batch_read);
}

struct batch *
adopt_batch_new(void)
{
    struct batch *b = mem_alloc(sizeof(*b));

    make_room(b, BATCH_RECORDS);
    buf_init(&b->ids, RECORD_OCTETS_MAX);
    buf_init(&b->meta, RECORD_OCTETS_MAX);
    return b;
}

void
adopt_batch_free(struct batch *b)
{
    batch_clear(b);
    buf_fini(&b->ids);
    buf_fini(&b->meta);
    mem_free(b->passing);
    mem_free(b->records);
    mem_free(b);
}
