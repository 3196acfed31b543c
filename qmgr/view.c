#include "qmgr/view.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "qmgr/mail.h"

enum { ARENA_MAX = 512 * 1024 * 1024 };

struct view_batch {
    size_t pending;
    struct fiber_cond done;
};

enum view_part { PART_HEAD, PART_CONTENT, PART_STATUS, PART_BLOB };

bool
view_queue(const struct entry *e, enum queue_name *queue)
{
    switch ((enum entry_state)e->state) {
    case ENTRY_ACTIVE:
        *queue = e->message != NULL && e->message->hold ? QUEUE_HOLD
                                                        : QUEUE_ACTIVE;
        return e->message == NULL || !e->message->doomed;
    case ENTRY_INCOMING:
        *queue = QUEUE_INCOMING;
        return true;
    case ENTRY_DEFERRED:
        *queue = QUEUE_DEFERRED;
        return true;
    case ENTRY_HELD:
        *queue = QUEUE_HOLD;
        return true;
    case ENTRY_DAMAGED:
        *queue = QUEUE_CORRUPT;
        return true;
    case ENTRY_ENTERING:
    case ENTRY_LEAVING:
        break;
    }
    return false;
}

static void
part_read(struct qmgr *q, struct disk_job *j)
{
    struct view *v = j->owner;
    struct buf *to[] = { &v->head, &v->content, &v->status };

    (void)q;
    if (j->result != RESULT_OK) {
        v->found = false;
    } else if (j->nth == PART_BLOB) {
        v->fd = j->fd;
    } else if (j->nth == PART_CONTENT) {
        *to[j->nth] = j->content;
        buf_init(&j->content, 0);
    } else {
        *to[j->nth] = j->head;
        buf_init(&j->head, 0);
    }
    if (--v->batch->pending == 0)
        fiber_cond_broadcast(&v->batch->done);
    disk_job_free(j);
}

static void
read_part(struct qmgr *q, struct view *v, enum view_part part,
    enum disk_task task, const struct spool_place *place, uint64_t blob)
{
    struct disk_job *j = disk_job_new(task, part_read, v);

    j->id = v->id;
    j->nth = part;
    j->blob = blob;
    if (place != NULL)
        j->place = *place;
    v->batch->pending++;
    disk_job_start(q, j);
}

static void
begin(struct qmgr *q, struct view *v, enum view_depth depth)
{
    struct entry *e = index_find(&q->index, v->id);

    arena_init(&v->arena, ARENA_MAX);
    buf_init(&v->head, 0);
    buf_init(&v->content, 0);
    buf_init(&v->status, 0);
    v->fd = -1;
    v->found = e != NULL && view_queue(e, &v->item.queue);
    if (!v->found)
        return;
    v->item.id = v->id;
    v->item.forced_expire = (e->flags & ENTRY_EXPIRE) != 0;
    read_part(q, v, PART_HEAD, DISK_READ_HEAD, &e->place, 0);
    if (place_is_set(&e->status))
        read_part(q, v, PART_STATUS, DISK_READ_HEAD, &e->status, 0);
    if (depth != VIEW_CONTENT)
        return;
    read_part(q, v, PART_CONTENT, DISK_READ,
        place_is_set(&e->content) ? &e->content : &e->place, 0);
    if (e->blob != 0)
        read_part(q, v, PART_BLOB, DISK_OPEN, NULL, e->blob);
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

static bool
read_standing(const struct view *v, struct standing *s, size_t count)
{
    struct slice head = buf_slice(&v->status), set;
    struct rcpt_result result;
    struct why why;

    if (head.len == 0)
        return true;
    if (status_settled(head, &set, &why) != RESULT_OK)
        return false;
    mark(s, count, set, true, SLICE_LIT(""));
    while (status_next_group(&head, &result, &set))
        mark(s, count, set, false, result.text);
    return true;
}

/* The active set knows better than what was written last. */
static void
ask_active(struct qmgr *q, const struct view *v, struct standing *s)
{
    struct entry *e = index_find(&q->index, v->id);

    if (e == NULL || e->message == NULL || e->message->rcpts == NULL ||
        e->message->envelope.recipient_count != v->envelope.recipient_count)
        return;
    for (size_t i = 0; i < v->envelope.recipient_count; i++)
        s[i].settled |= e->message->rcpts[i].state == RCPT_SETTLED;
}

static bool
finish(struct qmgr *q, struct view *v, enum view_depth depth)
{
    struct queue_recipient *rcpts;
    struct standing *s;
    struct why why;
    size_t n = 0, count;

    if (message_record_decode(buf_slice(&v->head), &v->record, &why) !=
            RESULT_OK ||
        envelope_decode(v->record.envelope, &v->arena, &v->envelope, &why) !=
            RESULT_OK)
        return false;
    if (depth == VIEW_CONTENT &&
        !message_record_content(&v->record, buf_slice(&v->content), &v->header,
            &v->body))
        return false;
    count = v->envelope.recipient_count;
    rcpts = arena_alloc(&v->arena, (count + 1) * sizeof(*rcpts));
    s = arena_alloc(&v->arena, (count + 1) * sizeof(*s));
    if (rcpts == NULL || s == NULL || !read_standing(v, s, count))
        return false;
    ask_active(q, v, s);
    for (size_t i = 0; i < count; i++)
        if (!s[i].settled)
            rcpts[n++] = (struct queue_recipient){
                v->envelope.recipients[i].address, s[i].reason
            };
    v->item.arrival_us = v->envelope.arrival_us;
    v->item.size = v->envelope.size;
    v->item.sender = v->envelope.sender;
    v->item.recipients = rcpts;
    v->item.recipient_count = n;
    return true;
}

void
view_read(struct qmgr *q, struct view *views, size_t count,
    enum view_depth depth)
{
    struct view_batch batch = { 0 };

    fiber_cond_init(&batch.done);
    fiber_shield();
    for (size_t i = 0; i < count; i++) {
        views[i].batch = &batch;
        begin(q, &views[i], depth);
    }
    while (batch.pending > 0)
        (void)fiber_cond_wait(&batch.done, CLOCK_NEVER);
    for (size_t i = 0; i < count; i++)
        if (views[i].found)
            views[i].found = finish(q, &views[i], depth);
}

void
view_fini(struct qmgr *q, struct view *v)
{
    if (v->fd >= 0)
        q->outside->close(q->context, v->fd);
    buf_fini(&v->head);
    buf_fini(&v->content);
    buf_fini(&v->status);
    arena_clear(&v->arena);
}
