#include "qmgr/view.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "qmgr/mail.h"
#include "qmgr/roll.h"

enum {
    ARENA_MAX = 512 * 1024 * 1024,
    READ_MAX = 256 * 1024 * 1024,
    TRIES = 5,          /* while the cleaner moves what is being read */
    REASONS_MAX = 1000, /* of a round that is not over */
};

struct view_batch {
    struct view *views;
    size_t count;
    enum view_depth depth;
    const struct queue_filter *filter;
    bool ended;
    struct fiber_cond done;
};

/* On the loop: where it is, and what the disk does not know. */

/* Recipients that were settled in this round, or are but for a notice. */
static void
note_settled(struct view *v, const struct mail *m)
{
    size_t count = m == NULL || m->settled == NULL
        ? 0
        : m->envelope.recipient_count;

    v->settled_count = 0;
    v->settled = count == 0 ? NULL : arena_alloc(&v->arena, count);
    if (v->settled == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        v->settled[i] = mail_is_settled(m, (uint32_t)i);
    mail_foreach(r, m) v->settled[r->index] |= r->state == RCPT_DONE;
    v->settled_count = count;
}

static void
note_reason(struct view *v, const struct rcpt *r)
{
    struct view_reason *last = v->reason_count == 0
        ? NULL
        : &v->reasons[v->reason_count - 1];
    struct slice text = r->note->result.text;

    /* Many recipients of one delivery have one reason. */
    if (last != NULL && slice_eq(last->text, text))
        text = last->text;
    else if (!arena_slice(&v->arena, text, &text))
        return;
    v->reasons[v->reason_count++] = (struct view_reason){ r->index, text };
}

/* Of those who are put off already while others are under way. */
static void
note_reasons(struct view *v, const struct mail *m)
{
    v->reason_count = 0;
    v->reasons = m == NULL || m->counts[RCPT_DEFERRED] == 0
        ? NULL
        : arena_alloc(&v->arena, REASONS_MAX * sizeof(*v->reasons));
    if (v->reasons == NULL)
        return;
    mail_foreach(r, m)
    {
        if (v->reason_count == REASONS_MAX)
            return;
        if (r->state == RCPT_DEFERRED && r->note != NULL)
            note_reason(v, r);
    }
}

static bool
find_places(struct qmgr *q, struct view *v)
{
    struct entry *e = index_find(&q->index, v->id);

    if (e == NULL || !roll_queue(e, &v->item.queue))
        return false;
    v->item.id = v->id;
    v->item.forced_expire = (e->flags & ENTRY_EXPIRE) != 0;
    v->item.next_try_ms = e->state == ENTRY_DEFERRED ? e->timer.due : 0;
    v->place = e->place;
    v->content = place_is_set(&e->content) ? e->content : e->place;
    v->status = e->status;
    v->blob = e->blob;
    v->part_count = index_parts(&q->index, e, v->parts, VIEW_PARTS);
    if (v->part_count > VIEW_PARTS)
        v->part_count = VIEW_PARTS;
    note_settled(v, e->message);
    note_reasons(v, e->message);
    return true;
}

static void
begin(struct qmgr *q, struct view *v)
{
    arena_init(&v->arena, ARENA_MAX);
    buf_init(&v->head_octets, READ_MAX);
    buf_init(&v->content_octets, READ_MAX);
    buf_init(&v->status_octets, READ_MAX);
    msg_init(&v->coded, MESSAGE_QUEUE_ITEM);
    v->fd = -1;
    v->found = find_places(q, v);
}

/*
 * The cleaner may have moved a record since, or a newer one made it obsolete:
 * then it is somewhere else now.
 */
static bool
has_moved(struct qmgr *q, const struct view *v)
{
    const struct entry *e = index_find(&q->index, v->id);
    struct spool_place content;

    if (e == NULL)
        return false;
    content = place_is_set(&e->content) ? e->content : e->place;
    return !place_same(&e->place, &v->place) ||
        !place_same(&content, &v->content) ||
        !place_same(&e->status, &v->status) ||
        index_parts(&q->index, e, NULL, 0) != v->part_count;
}

static void
begin_again(struct qmgr *q, struct view *v)
{
    buf_clear(&v->head_octets);
    buf_clear(&v->content_octets);
    buf_clear(&v->status_octets);
    arena_clear(&v->arena);
    v->missed = false;
    v->found = find_places(q, v);
}

/* On a thread. */

static enum result
read_record(struct spool *s, struct view *v, const struct spool_place *place,
    struct buf *head, struct buf *content)
{
    struct buf unwanted;
    enum result res;
    struct why why;

    buf_init(&unwanted, READ_MAX);
    res = spool_read(s, place, v->id, head,
        content == NULL ? &unwanted : content, &why);
    buf_fini(&unwanted);
    v->missed |= res == RESULT_TEMPFAIL;
    return res;
}

/* Settled recipients are not shown; others with the reason of their delay. */
struct standing {
    bool settled;
    struct slice reason;
};

static void
mark(struct standing *s, size_t count, struct slice set, bool settled,
    struct slice reason)
{
    uint32_t at = 0, start, run;

    while (set_next(&set, &at, &start, &run)) {
        for (uint32_t i = start; i < start + run && i < count; i++) {
            s[i].settled |= settled;
            if (reason.len > 0)
                s[i].reason = reason;
        }
    }
}

/* The mail is where it should be, and the sender is to be told. */
static void
mark_done(struct standing *standing, size_t count, struct slice head)
{
    struct rcpt_result result;
    struct slice set;

    while (status_next_group(&head, &result, &set))
        if (result.outcome == OUTCOME_SENT)
            mark(standing, count, set, true, SLICE_LIT(""));
}

/* What it says of recipients that are settled: of a part, that is all. */
static bool
read_settled(struct spool *s, struct view *v, const struct spool_place *place,
    struct standing *standing, size_t count)
{
    struct slice set;
    struct why why;

    buf_clear(&v->status_octets);
    if (read_record(s, v, place, &v->status_octets, NULL) != RESULT_OK ||
        status_settled(buf_slice(&v->status_octets), &set, &why) != RESULT_OK)
        return false;
    mark(standing, count, set, true, SLICE_LIT(""));
    mark_done(standing, count, buf_slice(&v->status_octets));
    return true;
}

static bool
read_status(struct spool *s, struct view *v, struct standing *standing,
    size_t count)
{
    struct rcpt_result result;
    struct slice head, set;

    if (!read_settled(s, v, &v->status, standing, count))
        return false;
    head = buf_slice(&v->status_octets);
    while (status_next_group(&head, &result, &set))
        mark(standing, count, set, false, result.text);
    return true;
}

static bool
read_standing(struct spool *s, struct view *v, struct standing *standing,
    size_t count)
{
    for (size_t i = 0; i < v->part_count; i++)
        if (!read_settled(s, v, &v->parts[i], standing, count))
            return false;
    /* Last: the texts stay where they were read. */
    if (place_is_set(&v->status) && !read_status(s, v, standing, count))
        return false;
    /* The active set knows better than what was written last. */
    for (size_t i = 0; i < count && v->settled_count == count; i++)
        standing[i].settled |= v->settled[i];
    for (size_t i = 0; i < v->reason_count; i++)
        if (v->reasons[i].index < count)
            standing[v->reasons[i].index].reason = v->reasons[i].text;
    return true;
}

static bool
fill_item(struct spool *s, struct view *v)
{
    size_t count = v->envelope.recipient_count, n = 0;
    struct queue_recipient *rcpts;
    struct standing *standing;

    rcpts = arena_alloc(&v->arena, (count + 1) * sizeof(*rcpts));
    standing = arena_alloc(&v->arena, (count + 1) * sizeof(*standing));
    if (rcpts == NULL || standing == NULL ||
        !read_standing(s, v, standing, count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!standing[i].settled && v->envelope.recipients[i].expanded == 0)
            rcpts[n++] = (struct queue_recipient){
                v->envelope.recipients[i].address, standing[i].reason
            };
    v->item.arrival_us = v->envelope.arrival_us;
    v->item.size = v->envelope.size;
    v->item.sender = v->envelope.sender;
    v->item.recipients = rcpts;
    v->item.recipient_count = n;
    return true;
}

static bool
read_content(struct spool *s, struct view *v)
{
    struct buf unwanted;
    enum result res = RESULT_OK;
    struct why why;

    buf_init(&unwanted, READ_MAX);
    res = read_record(s, v, &v->content, &unwanted, &v->content_octets);
    buf_fini(&unwanted);
    if (res == RESULT_OK && v->blob != 0)
        res = spool_blob_open(s, v->blob, &v->fd, &why);
    return res == RESULT_OK &&
        message_record_content(&v->record, buf_slice(&v->content_octets),
            &v->header, &v->body);
}

static bool
read_one(struct spool *s, struct view *v, const struct view_batch *b)
{
    struct why why;

    if (read_record(s, v, &v->place, &v->head_octets, NULL) != RESULT_OK ||
        message_record_decode(buf_slice(&v->head_octets), &v->record, &why) !=
            RESULT_OK ||
        envelope_decode(v->record.envelope, &v->arena, &v->envelope, &why) !=
            RESULT_OK ||
        (b->depth == VIEW_CONTENT && !read_content(s, v)) || !fill_item(s, v))
        return false;
    return b->filter == NULL || queue_filter_matches(b->filter, &v->item);
}

/*
 * What is coded is all that is wanted of it. What does not fit into one frame
 * goes without the reasons, and then without the last recipients.
 */
static void
code(struct view *v)
{
    struct queue_item *item = &v->item;

    msg_fini(&v->coded);
    queue_item_encode(item, &v->coded);
    if (buf_failed(&v->coded.body))
        for (size_t i = 0; i < item->recipient_count; i++)
            item->recipients[i].reason.len = 0;
    while (buf_failed(&v->coded.body) && item->recipient_count > 0) {
        msg_fini(&v->coded);
        queue_item_encode(item, &v->coded);
        item->recipient_count -= item->recipient_count / 4 + 1;
    }
    buf_fini(&v->head_octets);
    buf_fini(&v->status_octets);
    arena_clear(&v->arena);
}

static void
read_all(struct spool *s, void *owner)
{
    struct view_batch *b = owner;

    for (size_t i = 0; i < b->count; i++) {
        struct view *v = &b->views[i];

        if (!v->found || v->ready)
            continue;
        v->found = v->ready = read_one(s, v, b);
        if (v->found && b->depth == VIEW_CODED)
            code(v);
    }
}

static void
batch_done(struct qmgr *q, struct disk_job *j)
{
    struct view_batch *b = j->owner;

    (void)q;
    disk_job_free(j);
    b->ended = true;
    fiber_cond_broadcast(&b->done);
}

static void
run(struct qmgr *q, struct view_batch *b)
{
    struct disk_job *j = disk_job_new(DISK_CALL, batch_done, b);

    j->call = read_all;
    b->ended = false;
    disk_job_start(q, j);
    while (!b->ended)
        (void)fiber_cond_wait(&b->done, CLOCK_NEVER);
}

static bool
any_again(struct qmgr *q, struct view_batch *b)
{
    bool any = false;

    for (size_t i = 0; i < b->count; i++) {
        struct view *v = &b->views[i];

        if (v->found || !v->missed || !has_moved(q, v))
            continue;
        begin_again(q, v);
        any |= v->found;
    }
    return any;
}

void
view_read(struct qmgr *q, struct view *views, size_t count,
    enum view_depth depth, const struct queue_filter *filter)
{
    struct view_batch batch = {
        .views = views,
        .count = count,
        .depth = depth,
        .filter = filter,
    };

    fiber_cond_init(&batch.done);
    fiber_shield();
    for (size_t i = 0; i < count; i++)
        begin(q, &views[i]);
    for (unsigned i = 0; i < TRIES; i++) {
        run(q, &batch);
        if (!any_again(q, &batch))
            return;
    }
}

void
view_fini(struct qmgr *q, struct view *v)
{
    if (v->fd >= 0)
        q->outside->close(q->context, v->fd);
    buf_fini(&v->head_octets);
    buf_fini(&v->content_octets);
    buf_fini(&v->status_octets);
    msg_fini(&v->coded);
    arena_clear(&v->arena);
}
