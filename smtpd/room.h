/*
 * room - is there room in the queue's file system for one more message?
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * queue_minfree, or one and a half times the largest message, must be free, and
 * size must fit. What is free is looked up at most once a second; what cannot
 * be looked up is qmgr's to say.
 */
bool room_for_message(const struct config *config, uint64_t size) ATTR_NONNULL;
