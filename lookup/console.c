#include "lookup/console.h"

#include "lib/base/clock.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"
#include "lib/ipc/link.h"
#include "lib/table/cost.h"
#include "lookup/verifier.h"

#include <unistd.h>

enum { IDLE_MS = 60 * 1000 };

struct console {
    bool gone;
};

/* The process's: only root and we may ask, so they are few. */
static struct {
    bool ending;
    struct fiber_cond told;
} consoles = { .told = { LIST_INIT(consoles.told.waiters) } };

static void
on_gone(struct link *l, void *context)
{
    struct console *c = context;

    (void)l;
    c->gone = true;
    fiber_cond_broadcast(&consoles.told);
}

static void
tell_cost(void *context, const char *spec, const struct table_cost *cost)
{
    cost_tell(spec, cost, context);
}

static void
serve_costs(struct request *r)
{
    struct msg m;

    msg_init(&m, MESSAGE_TABLE_COSTS_TOLD);
    table_each_cost(tell_cost, &m);
    request_reply(r, &m);
}

void
console_serve(int fd)
{
    static const struct link_handler handlers[] = {
        { MESSAGE_TABLE_COSTS, serve_costs, SERVE_INLINE },
        { MESSAGE_VERIFY_ASK, verifier_look, SERVE_FIBER },
        { MESSAGE_NONE, NULL, SERVE_INLINE },
    };
    struct console c = { .gone = false };
    const struct link_options options = { .self = ROLE_LOOKUP,
        .peer = ROLE_COMMAND,
        .peer_name = "command",
        .handlers = handlers,
        .context = &c,
        .on_gone = on_gone };
    int64_t deadline = clock_now_ms() + IDLE_MS;
    struct link *l;

    if (!sock_peer_is_admin(fd)) {
        close(fd);
        return;
    }
    l = link_open(fd, &options);
    if (l == NULL)
        return;
    while (!c.gone && !consoles.ending &&
        fiber_cond_wait(&consoles.told, deadline) == WAIT_OK)
        continue;
    if (!c.gone)
        link_close(l);
}

void
console_end(void)
{
    consoles.ending = true;
    fiber_cond_broadcast(&consoles.told);
}
