/*
 * refusal - a question that the peer may not ask, or that is malformed, is named
 * in the log. A daemon that was taken over asks without end: for each role that
 * is done once a minute.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/ipc/link.h"

#include <stdbool.h>

/* Is the log to hear of what this peer is refused? */
bool refusal_due(const struct link *from) ATTR_NONNULL ATTR_MUST_USE;
