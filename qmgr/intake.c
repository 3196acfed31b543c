#include "qmgr/intake.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/mail/queue_id.h"
#include "lib/mail/submission.h"
#include "qmgr/adopt.h"
#include "qmgr/batch.h"
#include "qmgr/drops.h"
#include "qmgr/lane.h"
#include "qmgr/lease.h"
#include "qmgr/lend.h"
#include "qmgr/mail.h"
#include "qmgr/opening.h"
#include "qmgr/record.h"
#include "qmgr/round.h"
#include "qmgr/settle.h"
#include "qmgr/strain.h"

enum {
    ARENA_MAX = 512 * 1024 * 1024,
    ROOM_FOR_HEAD = 64 * 1024, /* of a message's records besides its content */
    GAP_MAX = TLV_HEADER_MAX,
    IDS_PAST_MS = 600 * 1000,
};

/* A submission on its way to the disk. */
struct accept {
    void *request;
    void *repeated; /* asked again over another link meanwhile */
    uint64_t id;
    struct mail *message;             /* NULL: it only settles */
    struct msg_in *in;                /* ... and then this is ours */
    struct arena arena;               /* and this */
    const struct settlement *settles; /* NULL: nothing */
    struct job *job;                  /* whose recipients they are */
    struct slice envelope;            /* encoded */
    struct buf content; /* where header and body did not arrive as one */
    struct slice stored;
    struct lent *lent;
    uint64_t blob;
    size_t settle_record; /* place in the transaction */
    uint64_t reserved;    /* octets on disk, of what is kept for settling */
};

static void
answer(struct qmgr *q, void *request, uint64_t id, enum result res,
    const struct why *why)
{
    struct queue_answer a = { .result = res, .id = id };

    if (why != NULL)
        a.why = *why;
    q->outside->answer(q->context, request, MESSAGE_SUBMITTED, &a, -1);
}

/* The end of a submission. */

static void
accept_free(struct qmgr *q, struct accept *a)
{
    lend_free(q, a->lent);
    q->outside->room_give(q->context, a->reserved);
    buf_fini(&a->content);
    msg_in_free(a->in);
    arena_clear(&a->arena);
    mem_free(a);
}

static void
answer_all(struct qmgr *q, const struct accept *a, enum result res,
    const struct why *why)
{
    answer(q, a->request, a->id, res, why);
    if (a->repeated != NULL)
        answer(q, a->repeated, a->id, res, why);
}

/* Durable: from now on it is mail in the queue. */
static void
enter(struct qmgr *q, struct mail *m)
{
    struct entry *e = m->entry;

    m->accept = NULL;
    if ((m->envelope.flags & ENVELOPE_HOLD) != 0) {
        mail_free(q, m);
        entry_set_state(&q->index, e, ENTRY_HELD);
        return;
    }
    if (!q->stopping && q->index.incoming.count == 0 && round_has_room(q) &&
        q->held_octets < HELD_OCTETS_MAX && !mail_is_large(m) &&
        lane_is_open(q, e)) {
        mail_activate(q, m);
        mail_begin(q, m);
        return;
    }
    mail_free(q, m);
    entry_set_state(&q->index, e, ENTRY_INCOMING);
    heap_set(&q->index.incoming, &e->timer,
        q->late.waiting ? e->arrival_ms - LATE_FIRST : e->arrival_ms);
    qmgr_wake(q);
}

static void
refuse(struct qmgr *q, struct accept *a, enum result res, const struct why *why)
{
    struct mail *m = a->message;

    if (a->job != NULL)
        settle_end(q, a->settles, a->job, NULL);
    if (a->blob != 0)
        lend_drop(q, a->blob);
    answer_all(q, a, res, why);
    if (m != NULL) {
        struct entry *e = m->entry;

        m->accept = NULL;
        drops_remove(q, e, DROPS_REFUSED);
        mail_free(q, m);
        index_remove(&q->index, e);
    }
    accept_free(q, a);
}

static void
accepted(struct qmgr *q, struct txn *t)
{
    struct accept *a = t->owner;
    struct mail *m = a->message;

    if (t->spool.result != RESULT_OK) {
        refuse(q, a, t->spool.result, &t->spool.why);
        txn_free(t);
        return;
    }
    answer_all(q, a, RESULT_OK, NULL);
    if (a->job != NULL)
        settle_end(q, a->settles, a->job, &t->records[a->settle_record].place);
    if (m != NULL) {
        m->entry->place = t->records[0].place;
        m->entry->blob = a->blob;
        enter(q, m);
    }
    txn_free(t);
    accept_free(q, a);
}

static void
add_message(struct txn *t, struct accept *a, struct mail *m)
{
    size_t n = txn_add(t, RECORD_MESSAGE, a->id);
    const struct entry *e = m->entry;
    struct message_record record = m->record;
    struct message_brief b = {
        .arrival_ms = e->arrival_ms,
        .recipients = (uint32_t)m->envelope.recipient_count,
        .site = e->site,
        .drop_file = m->envelope.drop_file,
    };

    if ((e->flags & ENTRY_BOUNCE) != 0)
        b.flags |= BRIEF_BOUNCE;
    if ((m->envelope.flags & ENVELOPE_HOLD) != 0)
        b.flags |= BRIEF_HELD;
    message_brief_encode(&b, &t->briefs[n]);
    /* As it came in: it was checked, and to encode a list takes its time. */
    record.envelope = a->envelope;
    message_record_encode(&record, &t->heads[n]);
    t->records[n].content = a->stored;
    t->records[n].blob = a->blob;
}

static void
commit(struct qmgr *q, struct accept *a)
{
    struct txn *t = txn_new(accepted, a);

    if (a->message != NULL)
        add_message(t, a, a->message);
    if (a->job != NULL) {
        size_t n = txn_add(t, RECORD_STATUS, a->settles->attempt.id);

        a->settle_record = n;
        settle_encode(a->settles, a->job, &t->briefs[n], &t->heads[n]);
    }
    t->spool.settling = a->message == NULL || a->reserved > 0;
    txn_commit(q, t);
}

static void
blob_kept(struct qmgr *q, struct disk_job *j)
{
    struct accept *a = j->owner;

    if (j->result != RESULT_OK) {
        refuse(q, a, j->result, &j->why);
    } else {
        a->blob = j->blob;
        a->message->record.blob = j->blob;
        commit(q, a);
    }
    disk_job_free(j);
}

static void
keep_blob(struct qmgr *q, struct accept *a, const struct blob *blob)
{
    struct mail *m = a->message;
    struct disk_job *j = disk_job_new(DISK_KEEP, blob_kept, a);

    m->record.blob_length = blob->length;
    m->record.blob_crc = blob->crc;
    j->fd = lend_fd(a->lent);
    j->length = blob->length;
    j->crc = blob->crc;
    disk_job_start(q, j);
}

/* Its beginning. */

/*
 * Header and body arrive side by side, with the few octets between them that
 * introduce the body: then they are stored as they lie.
 */
static void
set_content(struct accept *a, struct mail *m, struct slice header,
    struct slice body)
{
    const char *end = header.ptr + header.len;

    m->header = header;
    m->body = body;
    m->has_content = true;
    m->record.header_length = (uint32_t)header.len;
    m->record.body_length = (uint32_t)body.len;
    a->stored = header;
    if (body.len == 0)
        return;
    if (header.len > 0 && body.ptr >= end && body.ptr - end <= GAP_MAX) {
        a->stored.len = (size_t)(body.ptr - header.ptr) + body.len;
        m->record.body_at = (uint32_t)(body.ptr - header.ptr);
        return;
    }
    buf_add(&a->content, header);
    buf_add(&a->content, body);
    a->stored = buf_slice(&a->content);
    m->record.body_at = (uint32_t)header.len;
}

/* The recipients' domain, 0 if there are several. */
static uint32_t
site_of(struct slice encoded)
{
    struct recipient r;
    uint32_t site = 0;
    bool first = true;

    while (envelope_next_recipient(&encoded, &r)) {
        uint32_t one = index_site(r.address);

        if (r.expanded != 0) /* nothing goes there */
            continue;
        if (!first && one != site)
            return 0;
        site = one;
        first = false;
    }
    return site;
}

/* What e needs to know of its envelope. */
static void
fill_entry(struct entry *e, const struct envelope *env, struct slice encoded)
{
    e->arrival_ms = env->arrival_us / 1000;
    e->site = site_of(encoded);
    if (env->sender.len == 0)
        e->flags |= ENTRY_BOUNCE;
    if (env->drop_file.len > 0)
        e->flags |= ENTRY_DROPPED;
}

/* Ids are handed out by number, so that another's can be guessed. */
static bool
is_anothers(struct qmgr *q, uint64_t id, uint16_t place)
{
    const struct entry *e = index_find(&q->index, id);
    char text[QUEUE_ID_SIZE];

    if (e == NULL || e->origin == 0 || e->origin == place)
        return false;
    log_warning("%s: another process submits a message with this queue id",
        queue_id_text(id, q->long_ids, text));
    return true;
}

static enum result
check(struct qmgr *q, const struct submission *s, const void *owner,
    uint16_t place, struct why *why)
{
    const struct envelope *env = &s->envelope;

    if (s->settle_only)
        return RESULT_OK;
    if (!lease_covers(q, env->id))
        return why_perm(why, "5.3.0", "queue id was never leased");
    if (is_anothers(q, env->id, place) || adopt_brings(q, env->id))
        return why_temp(why, "4.3.0", "queue id is taken");
    if (env->drop_file.len > DROP_FILE_MAX)
        return why_perm(why, "5.3.0", "name of drop file is too long");
    if (env->recipient_count == 0 ||
        env->recipient_count > RECORD_RECIPIENTS_MAX)
        return why_perm(why, "5.3.0", "no recipients, or too many");
    if (s->blob.number != 0 &&
        (!lend_has(q, s->blob.number, owner) || s->body.len > 0))
        return why_temp(why, "4.3.0", "message file was not lent");
    return RESULT_OK;
}

/* What is remembered of a message that left: its id, and who submitted it. */
struct past_id {
    uint64_t id, place;
};

static struct slice
past_name(const struct past_id *p)
{
    return (struct slice){ (const char *)p, sizeof(*p) };
}

static bool
has_left(struct qmgr *q, uint64_t id, uint16_t place)
{
    const struct past_id his = { id, place }, unknown = { id, 0 };

    return past_has(&q->ids_past, past_name(&his)) ||
        past_has(&q->ids_past, past_name(&unknown));
}

/* True when it was answered: it is here already. */
static bool
is_repeated(struct qmgr *q, void *request, const struct envelope *env,
    uint16_t place)
{
    struct entry *e = index_find(&q->index, env->id);
    bool known = e != NULL || has_left(q, env->id, place);
    uint64_t other;

    /* Or under another id, and then that one has to be durable first. */
    if (!known && drops_known(q, env->drop_file, &other)) {
        known = true;
        e = other == 0 ? NULL : index_find(&q->index, other);
    }
    if (!known)
        return false;
    if (e != NULL && e->state == ENTRY_ENTERING) {
        struct accept *a = e->message->accept;
        struct why why;

        if (a->repeated == NULL)
            a->repeated = request;
        else
            answer(q, request, env->id,
                why_temp(&why, "4.3.0", "asked too often"), &why);
        return true;
    }
    answer(q, request, env->id, RESULT_OK, NULL);
    return true;
}

static void
begin(struct qmgr *q, struct accept *a, const struct submission *s,
    const void *owner, uint16_t place)
{
    struct entry *e;
    struct mail *m;
    struct why why;

    if (s->settle_only) {
        commit(q, a);
        return;
    }
    e = index_add(&q->index, s->envelope.id, ENTRY_ENTERING);
    e->origin = place;
    fill_entry(e, &s->envelope, s->encoded);
    a->envelope = s->encoded;
    m = a->message = mail_new(q, e);
    m->accept = a;
    m->envelope = s->envelope;
    m->arena = a->arena;
    arena_init(&a->arena, 0);
    m->held = a->in;
    a->in = NULL;
    if (s->envelope.drop_file.len > 0)
        drops_add(q, e, s->envelope.drop_file);
    if (!mail_set_recipients(q, m)) {
        refuse(q, a, why_temp(&why, "4.3.1", "no memory for recipients"), &why);
        return;
    }
    mail_count_held(q, m, m->held->body.len + m->arena.used);
    set_content(a, m, s->header, s->body);
    if (s->blob.number == 0) {
        commit(q, a);
        return;
    }
    a->lent = lend_take(q, s->blob.number, owner);
    keep_blob(q, a, &s->blob);
}

/*
 * A notice, or what an alias stands for, takes the place of a message that can
 * leave then: on a full disk it has a part of what is reserved for settling,
 * as far as that is not spoken for. Else what cannot be delivered would stop
 * the queue from emptying.
 */
static enum result
find_room(struct qmgr *q, struct accept *a, const struct submission *s,
    struct why *why)
{
    uint64_t octets = a->in->body.len + ROOM_FOR_HEAD;

    if (q->held_octets > SETTLING_OCTETS_MAX)
        return why_temp(why, "4.3.1", "Insufficient system resources");
    if ((s->settles != NULL || !strain_is_full(q)) &&
        q->outside->has_room(q->context, octets))
        return RESULT_OK;
    if (s->settles != NULL && q->outside->room_take(q->context, octets)) {
        a->reserved = octets;
        return RESULT_OK;
    }
    return why_temp(why, "4.3.1", "Insufficient system storage");
}

void
intake_submit(struct qmgr *q, void *request, const void *owner, uint16_t place,
    struct msg_in *in)
{
    struct accept *a = mem_alloc(sizeof(*a));
    struct submission s;
    enum result res;
    struct why why;

    a->request = request;
    a->in = in;
    arena_init(&a->arena, ARENA_MAX);
    buf_init(&a->content, SIZE_MAX);
    res = submission_decode(in->body, BATCH_RCPTS, &a->arena, &s, &why);
    if (res == RESULT_OK)
        res = check(q, &s, owner, place, &why);
    if (res == RESULT_OK && !s.settle_only &&
        is_repeated(q, request, &s.envelope, place)) {
        if (s.blob.number != 0)
            lend_return(q, s.blob.number, owner);
        accept_free(q, a);
        return;
    }
    if (res == RESULT_OK && !s.settle_only)
        res = find_room(q, a, &s, &why);
    if (res == RESULT_OK && s.settles != NULL) {
        res = settle_begin(q, s.settles, &a->job, &why);
        a->settles = s.settles;
    }
    if (res != RESULT_OK) {
        answer(q, request, 0, res, &why);
        accept_free(q, a);
        return;
    }
    a->id = s.envelope.id;
    begin(q, a, &s, owner, place);
}

void
intake_unanswered(struct qmgr *q, uint64_t id)
{
    struct entry *e = index_find(&q->index, id);

    if (e != NULL)
        e->flags |= ENTRY_RECOVERED;
}

void
intake_forget(struct qmgr *q, struct entry *e)
{
    const struct past_id p = { e->id, e->origin };

    if ((e->flags & ENTRY_RECOVERED) != 0)
        past_add(&q->ids_past, past_name(&p));
    drops_remove(q, e, DROPS_LEFT);
}

void
intake_init(struct qmgr *q)
{
    past_init(&q->ids_past, IDS_PAST_MS);
    drops_init(q);
}

void
intake_fini(struct qmgr *q)
{
    past_fini(&q->ids_past);
    drops_fini(q);
}
