/*
 * pressure - how hard qmgr finds it to take more mail: it tells smtpd, which
 * slows its clients down or refuses their mail before it has read it.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/ipc/link.h"

enum pressure {
    PRESSURE_NONE,
    PRESSURE_SLOW, /* in_flow_delay before each message */
    PRESSURE_FULL, /* 452 4.3.1: disk or memory is at its limit */
};

void pressure_encode(enum pressure level, struct msg *m) ATTR_NONNULL;
bool pressure_decode(struct slice in, enum pressure *level)
    ATTR_NONNULL ATTR_MUST_USE;
