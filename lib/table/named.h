/*
 * named - the tables over the network that a configuration names, and that
 * lookup may therefore open. Nobody can have it ask another host or read another
 * file: that takes a name in main.cf or master.cf.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/map.h"
#include "lib/base/slice.h"
#include "lib/config/config.h"

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
bool named_tables_has(const struct named_tables *n, struct slice spec)
    ATTR_NONNULL;
void named_tables_each(const struct named_tables *n,
    void (*fn)(void *context, struct slice spec), void *context)
    __attribute__((nonnull(1, 2)));
