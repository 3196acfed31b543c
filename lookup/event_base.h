/*
 * event_base - libunbound's events (unbound-event.h) on the scheduler's loop.
 *
 * Descriptors sit in an epoll set of their own, level-triggered as libunbound
 * expects, which one fiber waits for; time limits are timers of the loop. All
 * of libunbound runs on the stack of the thread, since it knows nothing of
 * fibers and their small stacks.
 */
#pragma once

#include "lib/base/attr.h"

#include <unbound-event.h>

/* NULL without descriptor or memory. */
struct ub_event_base *event_base_new(void) ATTR_MUST_USE;

/*
 * References: whoever made it has the first, each context that uses it one
 * more. With the last its fiber ends. NULL is welcome to drop.
 */
struct ub_event_base *event_base_hold(struct ub_event_base *base) ATTR_NONNULL;
void event_base_drop(struct ub_event_base *base);
