/*
 * directories - queue_directory with what is in it, and data_directory.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "master/rights.h"

/* Make what is missing. Fails where a directory is somebody else's. */
enum result directories_make(const struct config *config,
    const struct rights *rights, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* A warning in the log for each that is not as directories_make() makes it. */
void directories_check(const struct config *config, const struct rights *rights)
    ATTR_NONNULL;
