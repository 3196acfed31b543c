/*
 * round - the end of a message's active time: notices, expiry, the next try.
 */
#pragma once

#include "qmgr/mail.h"

/*
 * Called before recipients are resolved: true when there is nothing to be
 * tried, since all is settled or the message has expired.
 */
bool round_is_over_before_it_begins(struct qmgr *q, struct mail *m)
    ATTR_NONNULL;

/* Where something changed and nothing is under way, do what comes next. */
void round_check_all(struct qmgr *q) ATTR_NONNULL;

/* The STATUS that ends it is durable: m is freed. */
void round_ended(struct qmgr *q, struct mail *m, int64_t next_try_ms)
    ATTR_NONNULL;

/* When e ends by itself, milliseconds since 1970. */
int64_t round_expiry_ms(const struct qmgr *q, const struct entry *e)
    ATTR_NONNULL;

/*
 * When e, active, is cut short. However little lifetime is left, the first
 * attempt is made (bounce_queue_lifetime = 0 means: try once), and one for what
 * became too old on hold.
 */
int64_t round_deadline_ms(const struct qmgr *q, const struct entry *e)
    ATTR_NONNULL;

/* Room in the active set for one message more. */
bool round_has_room(const struct qmgr *q) ATTR_NONNULL;

/* Fresh and due messages become active as far as there is room. */
void round_admit(struct qmgr *q) ATTR_NONNULL;

/* e, not active, is tried at that time, or ends before. */
void round_schedule(struct qmgr *q, struct entry *e, int64_t next_try_ms)
    ATTR_NONNULL;

/* What waits for its turn, and is not with an agent, goes no further. */
void round_withdraw(struct qmgr *q, struct mail *m) ATTR_NONNULL;
