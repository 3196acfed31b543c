/*
 * ledger - the records that say what became of messages: STATUS, HOLD, REMOVE.
 *
 * They go with the flush of fresh mail, or at the latest queue_settle_delay
 * later (qmgr/gather), and nothing waits for them, save the admin who edits. The
 * end of a round that leaves recipients goes at once: only when its STATUS is
 * durable the message may be read back, and listings read it. What cannot be
 * written (the disk is full beyond its reserve, or fails) is tried again every
 * second; until then it is only known in memory.
 */
#pragma once

#include "qmgr/mail.h"

/*
 * How the recipients of m stand. ENDING: the round is over, m is freed when it
 * is durable, and is tried again at next_try_ms or held.
 */
enum status_kind { STATUS_INTERIM, STATUS_ENDING };
void ledger_status(struct qmgr *q, struct mail *m, enum status_kind kind,
    int64_t next_try_ms) ATTR_NONNULL;

/* Interim ones of all messages that are dirty. */
void ledger_write_dirty(struct qmgr *q) ATTR_NONNULL;

/*
 * The message is done, or deleted: m (if it is active) is freed at once, the
 * entry when that is durable. deleted, if given, is told then, and the
 * "removed" of the log is left to it.
 */
struct edit;
void ledger_remove(struct qmgr *q, struct entry *e, struct edit *deleted)
    __attribute__((nonnull(1, 2)));

/* The admin's wishes for e as they are now, be it active or not. */
void ledger_hold(struct qmgr *q, struct entry *e, bool held, struct edit *edit)
    __attribute__((nonnull(1, 2)));

/* Forgets what waits to be tried again. */
void ledger_fini(struct qmgr *q) ATTR_NONNULL;
