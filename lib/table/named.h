/*
 * named - the tables over the network that a configuration names, and that
 * lookup may therefore open, and for whom. Nobody can have it ask another host
 * or read another file: that takes a name in main.cf or master.cf. Nor can who
 * took over a daemon ask for what only another one has a use for, passwords of
 * its users, say: it takes a name in a parameter that this daemon obeys.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/map.h"
#include "lib/base/slice.h"
#include "lib/config/config.h"
#include "lib/ipc/protocol.h"

#include <stdbool.h>

struct named_tables {
    struct map map;
};

/*
 * Those that are named "type:name" anywhere, also inside of braces, and those
 * named "proxy:type:name" if proxy_read_maps has them too.
 */
void named_tables_init(struct named_tables *n, const struct config_set *set)
    ATTR_NONNULL;
void named_tables_fini(struct named_tables *n) ATTR_NONNULL;

/*
 * Whether role has a use for it: one of the programs that it is obeys a
 * parameter that names the table, in main.cf or in the line of such a program.
 * Processes of one role are all its lines, so lines are not told apart.
 */
bool named_tables_may(const struct named_tables *n, enum role role,
    struct slice spec) ATTR_NONNULL;
void named_tables_each(const struct named_tables *n,
    void (*fn)(void *context, struct slice spec), void *context)
    __attribute__((nonnull(1, 2)));
