/*
 * snapshot - the configuration as the children get it: in sealed memory files.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

#include <stdint.h>

struct snapshot {
    int fd;
    uint32_t length;
    int table_files; /* for lookup alone; -1: there are none */
};

enum result snapshot_make(const struct config_set *set, struct snapshot *s,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void snapshot_close(const struct snapshot *s) ATTR_NONNULL;
