/* QUEUE_LIST: what is in the queue, as a stream. */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "qmgr/console_private.h"
#include "qmgr/roll.h"
#include "qmgr/view.h"

#include <string.h>

/* The messages of ids that match; false when the command does not take them. */
static bool
send_batch(struct console *c, struct request *r,
    const struct queue_request *ask, const uint64_t *ids, size_t count,
    struct view *views)
{
    memset(views, 0, CONSOLE_BATCH * sizeof(*views));
    for (size_t i = 0; i < count; i++)
        views[i].id = ids[i];
    view_read(c->q, views, count, VIEW_CODED, &ask->filter);
    for (size_t i = 0; i < count; i++) {
        if (views[i].found && (ask->queues & 1U << views[i].item.queue) != 0)
            request_item(r, &views[i].coded);
        view_fini(c->q, &views[i]);
    }
    return request_wait_room(r, clock_now_ms() + CONSOLE_ROOM_MS) == LINK_OK;
}

static void
list(struct console *c, struct request *r, const struct queue_request *ask)
{
    struct view *views = mem_alloc_array(CONSOLE_BATCH, sizeof(*views));
    uint64_t ids[CONSOLE_BATCH];
    size_t at = 0, count;
    struct roll_filter filter;
    struct roll roll;

    roll_filter_init(&filter, &ask->filter);
    roll_call(c->q, ask->queues, roll_filter_wants, &filter, &roll);
    while (r->link != NULL &&
        (count = roll_next(&roll, &at, ids, CONSOLE_BATCH)) > 0)
        if (!send_batch(c, r, ask, ids, count, views))
            break;
    console_done(r, at);
    roll_fini(&roll);
    mem_free(views);
}

void
console_list(struct console *c, struct request *r)
{
    struct queue_request *ask = mem_alloc(sizeof(*ask));

    fiber_shield();
    if (!queue_request_decode(r->in->body, ask)) {
        console_refuse(r, "malformed request");
    } else if (!console_walk_begin(c, r)) {
        console_refuse(r, "too many listings of one user at a time");
    } else {
        if (ask->queues == 0)
            ask->queues = QUEUE_ALL;
        list(c, r, ask);
    }
    console_walk_end(c);
    mem_free(ask);
}
