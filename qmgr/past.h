/*
 * past - names that must not be taken in again, for a while: ids of messages
 * that have left the queue although their submitter may not know that they
 * ever entered it, and drop files that may not have been deleted yet.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { PAST_MAX = 100000 }; /* names; the oldest goes first */

struct past {
    struct map names;
    struct list order; /* oldest first */
    int64_t keep_ms;
};

void past_init(struct past *p, int64_t keep_ms) ATTR_NONNULL;
void past_fini(struct past *p) ATTR_NONNULL;
void past_add(struct past *p, struct slice name) ATTR_NONNULL;
bool past_has(const struct past *p, struct slice name) ATTR_NONNULL;
