/*
 * trial - would the daemons take this configuration? Each one is started, as the
 * user that it will be, and asked; none of them begins.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"
#include "master/rights.h"

#include <stdbool.h>

/*
 * False: one refuses it, and its words are logged. What they warn of goes to
 * standard error. The instance itself may run meanwhile: qmgr, which has nothing
 * to refuse, keeps off its spool, and lookup off its books.
 */
bool trial_run(const struct config_set *set, const struct rights *rights)
    ATTR_NONNULL ATTR_MUST_USE;
