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

struct event_base;

/* NULL without descriptor or memory. The process has one, for good. */
struct ub_event_base *event_base_new(void) ATTR_MUST_USE;
