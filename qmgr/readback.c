#include "qmgr/readback.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_id.h"
#include "qmgr/batch.h"
#include "qmgr/dispatch.h"
#include "qmgr/ledger.h"
#include "qmgr/opening.h"
#include "qmgr/round.h"
#include "qmgr/transport.h"

enum {
    READ_AGAIN_MS = 60 * 1000,
    OPEN_ENOUGH = 2 * BATCH_RCPTS,
    AHEAD_OCTETS = 1 << 20, /* of encoded recipients: some 30 batches */
};

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
    bool doomed = m->doomed, held = m->hold;
    char id[QUEUE_ID_SIZE];

    log_error("%s: cannot be read back%s: %s",
        queue_id_text(e->id, q->long_ids, id),
        res == RESULT_PERMFAIL ? ", set aside" : "", why->text);
    mail_free(q, m);
    if (doomed)
        ledger_remove(q, e, edit);
    else if (res == RESULT_PERMFAIL)
        entry_set_state(&q->index, e, ENTRY_DAMAGED);
    else if (held)
        entry_set_state(&q->index, e, ENTRY_HELD);
    else
        round_schedule(q, e, qmgr_wall_ms() + READ_AGAIN_MS);
}

/* Where a record of m is now. */
typedef const struct spool_place *place_fn(const struct mail *m);

static const struct spool_place *
message_place(const struct mail *m)
{
    return &m->entry->place;
}

static const struct spool_place *
status_place(const struct mail *m)
{
    return &m->entry->status;
}

static const struct spool_place *
content_place(const struct mail *m)
{
    const struct entry *e = m->entry;

    return place_is_set(&e->content) ? &e->content : &e->place;
}

/*
 * Hand what was read to the message that it was read for, if that is still there.
 * The cleaner may have moved the record between our looking and reading: then it
 * is read once more where it is now. Without place_of it is taken to be where it
 * was.
 */
static void
give_read(struct qmgr *q, struct disk_job *j, place_fn *place_of,
    void (*take)(struct qmgr *q, struct mail *m, struct disk_job *j))
{
    struct mail *m = mail_find(q, j->id, j->serial);
    const struct spool_place *now;

    if (m != NULL) {
        m->reading--;
        now = place_of == NULL ? &j->place : place_of(m);
        if (j->result != RESULT_OK && place_is_set(now) &&
            !place_same(&j->place, now))
            read_more(q, m, j->task, now, j->nth, j->done);
        else
            take(q, m, j);
    }
    disk_job_free(j);
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
shrink_head(struct mail *m, struct slice start, struct why *why)
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
    return res;
}

static void
count_held(struct qmgr *q, struct mail *m)
{
    mail_count_held(q, m, m->head.cap + m->ahead.cap + m->content.cap);
}

/*
 * The whole record is read, and its checksums with it, each time: what it has
 * for the next batches is kept.
 */
static void
keep_ahead(struct qmgr *q, struct mail *m, struct slice left)
{
    buf_clear(&m->ahead);
    buf_add(&m->ahead, envelope_some_recipients(left, AHEAD_OCTETS));
    m->ahead_at = 0;
    count_held(q, m);
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
    struct slice start = m->record.envelope, left;
    bool large = mail_is_large(m);
    enum result res;

    (void)envelope_count_recipients(start, &left);
    start.len -= left.len;
    m->next_offset = start.len;
    res = batch_read(q, m, &left, large ? room_for_batch(q, m) : BATCH_RCPTS,
        why);
    if (res != RESULT_OK || !large)
        return res;
    buf_add(&m->ahead, envelope_some_recipients(left, AHEAD_OCTETS));
    res = shrink_head(m, start, why);
    count_held(q, m);
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
take_status(struct qmgr *q, struct mail *m, struct disk_job *j)
{
    enum result res = j->result;

    if (res == RESULT_OK)
        res = apply_status(m, &j->head, j->nth == 0, &j->why);
    if (res != RESULT_OK)
        set_aside(q, m, res, &j->why);
    else
        loaded(q, m);
}

static void
status_read(struct qmgr *q, struct disk_job *j)
{
    give_read(q, j, j->nth == 0 ? status_place : NULL, take_status);
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
    if (res == RESULT_OK && !mail_count_recipients(m, count))
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
take_head(struct qmgr *q, struct mail *m, struct disk_job *j)
{
    enum result res = j->result;

    m->head = j->head;
    buf_init(&j->head, 0);
    if (res == RESULT_OK)
        res = decode_message(m, &j->why);
    if (res != RESULT_OK) {
        set_aside(q, m, res, &j->why);
        return;
    }
    count_held(q, m);
    read_statuses(q, m);
    loaded(q, m);
}

static void
head_read(struct qmgr *q, struct disk_job *j)
{
    give_read(q, j, message_place, take_head);
}

/* Or not: then the round ends with those who came before. */
static void
batch_is_there(struct qmgr *q, struct mail *m, enum result res,
    const struct why *why)
{
    char id[QUEUE_ID_SIZE];

    if (res != RESULT_OK) {
        log_error("%s: cannot read more recipients: %s",
            queue_id_text(m->id, q->long_ids, id), why->text);
        m->stuck = m->soon = true;
    }
    mail_begin_batch(q, m);
}

static void
take_batch(struct qmgr *q, struct mail *m, struct disk_job *j)
{
    struct message_record record;
    enum result res = j->result;

    if (res == RESULT_OK)
        res = message_record_decode(buf_slice(&j->head), &record, &j->why);
    if (res == RESULT_OK) {
        struct slice left = slice_skip(record.envelope, m->next_offset);

        res = left.len == 0
            ? why_perm(&j->why, "5.3.0", "there are fewer than were counted")
            : batch_read(q, m, &left, room_for_batch(q, m), &j->why);
        keep_ahead(q, m, left);
    }
    batch_is_there(q, m, res, &j->why);
}

static void
batch_was_read(struct qmgr *q, struct disk_job *j)
{
    give_read(q, j, message_place, take_batch);
}

/* Out of what was read before. False: it is used up. */
static bool
read_ahead(struct qmgr *q, struct mail *m)
{
    struct slice left = slice_skip(buf_slice(&m->ahead), m->ahead_at);
    enum result res;
    struct why why;

    if (left.len == 0)
        return false;
    res = batch_read(q, m, &left, room_for_batch(q, m), &why);
    m->ahead_at = m->ahead.len - left.len;
    batch_is_there(q, m, res, &why);
    return true;
}

void
mail_read_more(struct qmgr *q, struct mail *m)
{
    if (m->counts[RCPT_ABSENT] == 0 || m->reading > 0 || m->stuck || m->hold ||
        q->stopping || mail_busy(m) > OPEN_ENOUGH || room_for_batch(q, m) == 0)
        return;
    if (!read_ahead(q, m))
        read_more(q, m, DISK_READ_HEAD, &m->entry->place, 0, batch_was_read);
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

static void
take_content(struct qmgr *q, struct mail *m, struct disk_job *j)
{
    enum result res = j->result;

    m->content = j->content;
    buf_init(&j->content, 0);
    if (res == RESULT_OK &&
        !message_record_content(&m->record, buf_slice(&m->content), &m->header,
            &m->body))
        res = why_perm(&j->why, "5.3.0", "malformed content");
    if (res == RESULT_OK) {
        m->has_content = true;
        count_held(q, m);
    }
    serve_content_waiters(q, m, res, &j->why);
    mail_touch(q, m);
}

static void
content_read(struct qmgr *q, struct disk_job *j)
{
    give_read(q, j, content_place, take_content);
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
