/*
 * Steps in the world of a queue manager that tests of the scheduler share.
 */
#pragma once

#include "tests/unit/qmgr_world.h"

WORLD_FN void
submit(struct world *w, unsigned count, const char *to)
{
    struct world_mail mail = { .sender = "s@x", .body = 10 };

    mail.recipients[0] = to;
    while (count-- > 0)
        world_submit(w, &mail);
    world_settle(w);
}

WORLD_FN size_t
running(struct world *w)
{
    return world_count(&w->errands);
}

WORLD_FN void
end_one(struct world *w, enum outcome outcome, enum destination_state state)
{
    world_report(w, world_errand(w, 0), outcome, state);
    world_settle(w);
}
