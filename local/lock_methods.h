/*
 * lock_methods - mailbox_delivery_lock and virtual_mailbox_lock.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"

#include <stdint.h>

/* A set of enum mailbox_lock; RESULT_PERMFAIL names an unknown method. */
enum result lock_methods_parse(const char *text, uint32_t *locks,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
