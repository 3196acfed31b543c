/* QUEUE_ADOPT: postern adopt-spool. */
#include "lib/base/clock.h"
#include "qmgr/adopt.h"
#include "qmgr/console_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct adopting {
    bool ended;
    struct adopt_end end;
    struct fiber_cond progress;
};

static void
adopted(void *context, const struct adopt_end *end)
{
    struct adopting *a = context;

    a->end = *end;
    a->ended = true;
    fiber_cond_broadcast(&a->progress);
}

/* What the admin is told, beside how many there are now. */
static void
answer_adopted(struct request *r, const struct adopt_end *end)
{
    struct queue_done d = {
        .result = end->result,
        .count = end->moved,
        .why = end->why,
    };
    struct msg m;

    if (end->result == RESULT_OK && end->repeated + end->damaged > 0)
        (void)snprintf(d.why.text, sizeof(d.why.text),
            "%" PRIu64 " had come before, %" PRIu64 " are damaged and stay",
            end->repeated, end->damaged);
    queue_done_encode(&d, &m);
    request_reply(r, &m);
}

void
console_adopt(struct console *c, struct request *r)
{
    struct adopting a = { .ended = false };
    struct adopt_order order = {
        .disk = &disk_real,
        .dir = msg_in_take_fd(r->in, 0),
        .offline = c->mode == CONSOLE_OFFLINE,
        .done = adopted,
        .context = &a,
    };
    struct stat st;

    fiber_shield();
    if (!c->may_edit || order.dir < 0 || fstat(order.dir, &st) < 0 ||
        !S_ISDIR(st.st_mode)) {
        if (order.dir >= 0)
            close(order.dir);
        console_refuse(r,
            c->may_edit ? "malformed request"
                        : "use of this command is reserved for the superuser");
        return;
    }
    fiber_cond_init(&a.progress);
    adopt_begin(c->q, &order);
    while (!a.ended)
        (void)fiber_cond_wait(&a.progress, CLOCK_NEVER);
    answer_adopted(r, &a.end);
}
