/*
 * tables - the service of lookup to the others: a key in a table over the
 * network. Only tables that the configuration names are opened.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"
#include "lib/ipc/link.h"

struct tables;

/*
 * Takes what master read for this process. Holds set. Then the rest of the
 * configuration is tried, and the tables are accepted with it, or refused: that
 * drops them, and what master had read before is there again.
 */
enum result tables_open(struct config_set *set, struct tables **tables,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void tables_accept(struct tables *t) ATTR_NONNULL;
void tables_refuse(struct tables *t) ATTR_NONNULL;
void tables_drop(struct tables *t); /* NULL is welcome */

/* TABLE_ASK; ends r. Waits. */
void tables_serve(struct tables *t, struct request *r) ATTR_NONNULL;
