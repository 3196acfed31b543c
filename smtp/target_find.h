/*
 * target_find - where a destination is: mail exchangers by preference, equal
 * ones shuffled, without ourselves; hosts by DNS or by other means.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/config/config.h"
#include "lib/mail/own_addresses.h"
#include "smtp/excuse.h"
#include "smtp/nexthop.h"
#include "smtp/target.h"

/*
 * Find the addresses of hop, at most smtp_mx_address_limit of them. Empty: the
 * excuse says why. own may be NULL. Waits for lookup, until the deadline.
 */
void targets_find(const struct nexthop *hop, const struct config *config,
    const struct own_addresses *own, struct arena *arena, int64_t deadline,
    struct targets *targets, struct excuse *excuse)
    __attribute__((nonnull(1, 2, 4, 6, 7)));
