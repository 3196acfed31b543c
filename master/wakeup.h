/*
 * wakeup - the wakeup column of master.cf: now and then a service is to look
 * for work, by the daemon that took it over.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/config/config.h"

struct pools;

struct wakeups {
    struct list all;
    struct pools *pools;
};

void wakeups_init(struct wakeups *w, struct pools *pools) ATTR_NONNULL;

/* Those of set, and no others. set outlives the next wakeups_set(). */
void wakeups_set(struct wakeups *w, const struct config_set *set) ATTR_NONNULL;
void wakeups_clear(struct wakeups *w) ATTR_NONNULL;
