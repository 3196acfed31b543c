/*
 * destination_private - what destination, bundle and health share.
 */
#pragma once

#include "qmgr/destination.h"

enum { DESTINATION_REASON_MAX = 1000 }; /* octets of it that are kept */

/* Its timer fires then, or before. */
void destination_arm(struct qmgr *q, struct destination *d, int64_t at_ms)
    ATTR_NONNULL;

/* Whatever waits is deferred, with its reason. */
void destination_suspend_all(struct qmgr *q, struct destination *d)
    ATTR_NONNULL;

/* Frees it if nothing waits, nothing runs and nothing is to be remembered. */
void destination_release(struct qmgr *q, struct destination *d) ATTR_NONNULL;
