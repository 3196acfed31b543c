#include "qmgr/roll.h"

#include "lib/base/glob.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "lib/io/offload.h"
#include "qmgr/mail.h"

#include <stdlib.h>
#include <string.h>

enum {
    TURN = 2000, /* entries looked at before others have their turn */
    ROOM = 1024,
};

bool
roll_queue(const struct entry *e, enum queue_name *queue)
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
add(struct roll_part *p, uint64_t id)
{
    if (p->count == p->room) {
        p->room = p->room == 0 ? ROOM : p->room * 2;
        p->ids = mem_resize(p->ids, p->room * sizeof(*p->ids));
    }
    p->ids[p->count++] = id;
}

static int
compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void
sort(void *arg)
{
    struct roll *r = arg;

    for (size_t i = 0; i < QUEUE_NAMES; i++)
        if (r->parts[i].count > 0)
            qsort(r->parts[i].ids, r->parts[i].count, sizeof(uint64_t),
                compare_ids);
}

void
roll_call(struct qmgr *q, unsigned queues, roll_wants_fn wants,
    const void *context, struct roll *r)
{
    uint64_t cursor = 0;
    size_t looked = 0;

    memset(r, 0, sizeof(*r));
    do {
        struct map_node *n = map_step(&q->index.entries, &cursor);

        for (; n != NULL; n = n->next) {
            const struct entry *e = LIST_ENTRY(n, struct entry, node);
            enum queue_name queue;

            looked++;
            if (roll_queue(e, &queue) && (queues & 1U << queue) != 0 &&
                (wants == NULL || wants(e, context)))
                add(&r->parts[queue], e->id);
        }
        if (++looked >= TURN && fiber_inside()) {
            looked = 0;
            fiber_yield();
        }
    } while (cursor != 0);
    /* A million take a fifth of a second. */
    offload(sort, r);
}

void
roll_fini(struct roll *r)
{
    for (size_t i = 0; i < QUEUE_NAMES; i++)
        mem_free(r->parts[i].ids);
}

size_t
roll_next(const struct roll *r, size_t *at, uint64_t *ids, size_t max)
{
    size_t before = 0, n = 0;

    for (size_t i = 0; i < QUEUE_NAMES && n < max; i++) {
        const struct roll_part *p = &r->parts[i];

        while (n < max && *at - before < p->count)
            ids[n++] = p->ids[(*at)++ - before];
        before += p->count;
    }
    return n;
}

void
roll_filter_init(struct roll_filter *rf, const struct queue_filter *f)
{
    bool exact = f->domain.len > 0 && glob_is_plain(f->domain);

    rf->filter = f;
    rf->site = exact ? index_site(f->domain) : 0;
}

bool
roll_filter_wants(const struct entry *e, const void *filter)
{
    const struct roll_filter *rf = filter;

    return queue_filter_age_matches(rf->filter, e->arrival_ms * 1000) &&
        (rf->site == 0 || e->site == 0 || e->site == rf->site);
}
