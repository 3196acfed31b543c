/*
 * cleaning - the index's part in the steps of the spool's cleaner
 * (qmgr/spool/spool.h): which records are needed, and where they went.
 */
#pragma once

#include "qmgr/core.h"

/* Step 2: set live of each move. */
void cleaning_answer(const struct qmgr *q, struct spool_step *step)
    ATTR_NONNULL;

/* Step 4: the index knows the new places; what it does not want is dead. */
void cleaning_take_over(struct qmgr *q, const struct spool_step *step)
    ATTR_NONNULL;
