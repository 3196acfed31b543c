#include "lib/io/timers.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

enum { TIMERS_MIN = 64 };

void
timers_fini(struct timers *h)
{
    mem_free(h->heap);
    *h = (struct timers){ 0 };
}

static void
put(struct timers *h, size_t at, struct timers_entry entry)
{
    h->heap[at] = entry;
    entry.timer->slot = at + 1;
}

/* Place entry at or above at. */
static void
sift_up(struct timers *h, size_t at, struct timers_entry entry)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;

        if (h->heap[parent].deadline_ms <= entry.deadline_ms)
            break;
        put(h, at, h->heap[parent]);
        at = parent;
    }
    put(h, at, entry);
}

/* Place entry at or below at. */
static void
sift_down(struct timers *h, size_t at, struct timers_entry entry)
{
    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= h->count)
            break;
        if (child + 1 < h->count &&
            h->heap[child + 1].deadline_ms < h->heap[child].deadline_ms)
            child++;
        if (entry.deadline_ms <= h->heap[child].deadline_ms)
            break;
        put(h, at, h->heap[child]);
        at = child;
    }
    put(h, at, entry);
}

static void
place(struct timers *h, size_t at, struct timers_entry entry)
{
    if (at > 0 && entry.deadline_ms < h->heap[(at - 1) / 2].deadline_ms)
        sift_up(h, at, entry);
    else
        sift_down(h, at, entry);
}

void
timers_arm(struct timers *h, struct fiber_timer *t, int64_t deadline_ms)
{
    struct timers_entry entry = { deadline_ms, t };

    t->deadline_ms = deadline_ms;
    if (t->slot > 0) {
        place(h, t->slot - 1, entry);
        return;
    }
    if (h->count == h->room) {
        h->room = h->room == 0 ? TIMERS_MIN : h->room * 2;
        h->heap = mem_resize(h->heap, h->room * sizeof(*h->heap));
    }
    sift_up(h, h->count++, entry);
}

void
timers_disarm(struct timers *h, struct fiber_timer *t)
{
    size_t at = t->slot - 1;

    if (t->slot == 0)
        return;
    t->slot = 0;
    h->count--;
    if (at < h->count)
        place(h, at, h->heap[h->count]);
}

int64_t
timers_next(const struct timers *h)
{
    return h->count == 0 ? CLOCK_NEVER : h->heap[0].deadline_ms;
}

struct fiber_timer *
timers_take_due(struct timers *h, int64_t now_ms)
{
    struct fiber_timer *t;

    if (h->count == 0 || h->heap[0].deadline_ms > now_ms)
        return NULL;
    t = h->heap[0].timer;
    timers_disarm(h, t);
    return t;
}
