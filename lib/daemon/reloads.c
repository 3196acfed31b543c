/* How often a configuration was taken into use; also for commands: never. */
#include "lib/daemon/daemon_private.h"

static uint64_t reloads;

uint64_t
daemon_reloads(void)
{
    return reloads;
}

void
daemon_count_reload(void)
{
    reloads++;
}
