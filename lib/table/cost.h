/*
 * cost - what asking a table over the network has cost: how often, how it ended,
 * how long it took; and how lookup tells it ("postern tables").
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/ipc/link.h"
#include "lib/table/table.h"

/* One question that took so long. */
void cost_count(struct table_cost *cost, enum table_status status, uint64_t ms)
    ATTR_NONNULL;

/*
 * Milliseconds that so many of a thousand questions did not take longer than;
 * exact to a factor of two, and never more than the longest.
 */
uint64_t cost_quantile(const struct table_cost *cost, unsigned of_thousand)
    ATTR_NONNULL;

/* TABLE_COSTS_TOLD: one group for each table. */
struct cost_told {
    struct slice spec;
    uint64_t asked, found, errors, under_way;
    uint64_t ms, ms_half, ms_p99, ms_most; /* all together; quantiles */
};
void cost_tell(const char *spec, const struct table_cost *cost, struct msg *m)
    ATTR_NONNULL;

/* False at the end, and *rest is not empty when that is no end. */
bool cost_next(struct slice *rest, struct cost_told *told)
    ATTR_NONNULL ATTR_MUST_USE;
