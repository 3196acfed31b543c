#include "qmgr/recover.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/queue_id.h"
#include "qmgr/adopted.h"
#include "qmgr/drops.h"
#include "qmgr/lease.h"
#include "qmgr/ledger.h"
#include "qmgr/record.h"
#include "qmgr/round.h"

#include <stdlib.h>

static void
set_aside(struct qmgr *q, struct entry *e, const char *text)
{
    char id[QUEUE_ID_SIZE];

    log_error("%s: cannot be understood, set aside: %s",
        queue_id_text(e->id, q->long_ids, id), text);
    entry_set_state(&q->index, e, ENTRY_DAMAGED);
}

/*
 * All of it was found. Its place in map and queues is taken while it is at
 * hand: later, a walk through a million entries would wait for memory at each.
 */
static void
take_place(struct qmgr *q)
{
    struct entry *e = q->recovering;

    q->recovering = NULL;
    if (e == NULL)
        return;
    index_enter(&q->index, e);
    if (e->state == ENTRY_INCOMING)
        heap_set(&q->index.incoming, &e->timer, e->timer.due);
    else if (e->state == ENTRY_DEFERRED)
        round_schedule(q, e, e->timer.due);
}

static void
found_message(struct qmgr *q, const struct spool_found *f)
{
    struct entry *e;
    struct message_brief b;
    struct why why;

    take_place(q);
    /* A deferred message has two records at least. */
    map_reserve(&q->index.entries, f->in_all / 2);
    e = q->recovering = index_begin(&q->index, f->id, ENTRY_INCOMING);
    e->place = f->place;
    e->blob = f->blob;
    e->flags |= ENTRY_RECOVERED;
    if (f->id >= q->next_id)
        q->next_id = f->id + 1;
    if (message_brief_decode(f->brief, &b, &why) != RESULT_OK) {
        e->arrival_ms = queue_id_time_us(f->id) / 1000;
        set_aside(q, e, why.text);
        return;
    }
    e->arrival_ms = b.arrival_ms;
    e->site = b.site;
    e->timer.due = b.arrival_ms;
    if ((b.flags & BRIEF_BOUNCE) != 0)
        e->flags |= ENTRY_BOUNCE;
    if (b.drop_file.len > 0) {
        e->flags |= ENTRY_DROPPED;
        drops_add(q, e, b.drop_file);
    }
    if ((b.flags & BRIEF_HELD) != 0)
        entry_set_state(&q->index, e, ENTRY_HELD);
}

static void
set_flag(struct entry *e, enum entry_flag flag, bool on)
{
    e->flags &= (uint16_t)~flag;
    if (on)
        e->flags |= (uint16_t)flag;
}

/* The newest word counts, be it a STATUS or a HOLD. */
static void
apply(struct qmgr *q, struct entry *e, const struct status_brief *b)
{
    if (b->version < e->version || e->state == ENTRY_LEAVING)
        return;
    e->version = b->version;
    e->attempts = b->attempts > UINT16_MAX ? UINT16_MAX : (uint16_t)b->attempts;
    e->deaths = b->deaths > UINT8_MAX ? UINT8_MAX : (uint8_t)b->deaths;
    e->lane = b->lane;
    e->kills = b->kills > UINT8_MAX ? UINT8_MAX : (uint8_t)b->kills;
    set_flag(e, ENTRY_EXPIRE, (b->flags & STATUS_EXPIRE) != 0);
    set_flag(e, ENTRY_WARNED, (b->flags & STATUS_WARNED) != 0);
    set_flag(e, ENTRY_REQUEUE, (b->flags & STATUS_REQUEUE) != 0);
    entry_set_state(&q->index, e,
        (b->flags & STATUS_HELD) != 0 ? ENTRY_HELD : ENTRY_DEFERRED);
    e->timer.due = b->next_try_ms;
}

static void
supersede(struct qmgr *q, const struct spool_found *f,
    struct spool_place *place)
{
    if (place_is_set(place))
        q->outside->dead(q->context, place);
    *place = f->place;
}

/*
 * What was set aside stays for who looks at it; without its state it would be
 * delivered anew by the next start but one.
 */
static void
keep_unread(struct qmgr *q, struct entry *e, const struct spool_found *f)
{
    supersede(q, f, f->type == RECORD_HOLD ? &e->hold : &e->status);
}

static void
found_status(struct qmgr *q, struct entry *e, const struct spool_found *f)
{
    struct status_brief b;
    struct why why;

    if (status_brief_decode(f->brief, &b, &why) != RESULT_OK) {
        set_aside(q, e, why.text);
        keep_unread(q, e, f);
        return;
    }
    if ((b.flags & STATUS_PART) != 0) {
        index_add_part(&q->index, e, &f->place);
        return;
    }
    if (f->type == RECORD_HOLD) {
        supersede(q, f, &e->hold);
    } else {
        supersede(q, f, &e->status);
        if (b.unsettled == 0)
            entry_set_state(&q->index, e, ENTRY_LEAVING);
    }
    apply(q, e, &b);
}

static void
found_change(struct qmgr *q, const struct spool_found *f)
{
    struct entry *e = q->recovering;

    if (e == NULL || e->id != f->id)
        q->outside->dead(q->context, &f->place);
    else if (f->type == RECORD_CONTENT)
        e->content = f->place;
    else if (e->state == ENTRY_DAMAGED)
        keep_unread(q, e, f);
    else
        found_status(q, e, f);
}

static void
found_mark(struct qmgr *q, const struct spool_found *f)
{
    struct adopted_record adopted;
    uint64_t mark;

    if (adopted_record_decode(f->head, &adopted)) {
        adopted_found(q, &adopted, &f->place);
        return;
    }
    if (!meta_record_decode(f->head, &mark)) {
        log_error("queue: mark of queue ids cannot be understood");
        return;
    }
    if (place_is_set(&q->mark_place))
        q->outside->dead(q->context, &q->mark_place);
    lease_recovered(q, mark, &f->place);
}

bool
recover_found(void *context, const struct spool_found *f, struct why *why)
{
    struct qmgr *q = context;

    (void)why;
    switch (f->type) {
    case RECORD_MESSAGE:
        found_message(q, f);
        break;
    case RECORD_STATUS:
    case RECORD_HOLD:
    case RECORD_CONTENT:
        found_change(q, f);
        break;
    case RECORD_META:
        found_mark(q, f);
        break;
    case RECORD_REMOVE:
    case RECORD_REPLACE:
        break;
    }
    return true;
}

void
recover_damage(void *context, const char *text)
{
    (void)context;
    log_error("queue: damage set aside: %s", text);
}

void
recover_one_end(struct qmgr *q, struct entry *e)
{
    take_place(q);
    if (e->state == ENTRY_LEAVING)
        ledger_remove(q, e, NULL);
}

void
recover_end(struct qmgr *q)
{
    struct map_node *next;

    take_place(q);
    for (struct map_node *n = map_first(&q->index.entries);
         n != NULL && q->index.states[ENTRY_LEAVING] > 0; n = next) {
        struct entry *e = LIST_ENTRY(n, struct entry, node);

        next = map_after(&q->index.entries, n);
        if (e->state == ENTRY_LEAVING)
            ledger_remove(q, e, NULL);
    }
    adopted_tell(q);
    qmgr_wake(q);
}

struct blobs {
    const struct qmgr *queue;
    uint64_t *numbers; /* NULL until a file is asked about */
    size_t count;
};

static int
compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void
collect_blobs(struct blobs *b)
{
    const struct map *entries = &b->queue->index.entries;

    b->numbers = mem_alloc_array(entries->count + 1, sizeof(*b->numbers));
    for (struct map_node *n = map_first(entries); n != NULL;
         n = map_after(entries, n)) {
        const struct entry *e = LIST_ENTRY(n, struct entry, node);

        if (e->blob != 0)
            b->numbers[b->count++] = e->blob;
    }
    qsort(b->numbers, b->count, sizeof(*b->numbers), compare);
}

static bool
blob_is_live(void *context, uint64_t number)
{
    struct blobs *b = context;

    /* A million entries out of order take 0.3 s: mostly there is no file. */
    if (b->numbers == NULL)
        collect_blobs(b);
    return b->count > 0 &&
        bsearch(&number, b->numbers, b->count, sizeof(number), compare) != NULL;
}

void
recover_sweep(struct qmgr *q, struct spool *s)
{
    struct blobs b = { .queue = q };

    take_place(q);
    spool_blob_sweep(s, blob_is_live, &b);
    mem_free(b.numbers);
}
