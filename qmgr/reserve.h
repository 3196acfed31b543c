/*
 * reserve - room in the spool for what becomes of mail that is under way.
 *
 * A delivery whose result cannot be recorded is repeated after a crash. So a
 * message begins its round with room set aside for its STATUS or REMOVE, which
 * it has until that is durable. While the spool has none to give, nothing comes
 * into the active set; and while records that come in between (a STATUS for each
 * few recipients, an admin's orders) have used up what was left over, nothing
 * of what is active is handed to agents.
 */
#pragma once

#include "qmgr/timer.h"

#include <stdbool.h>
#include <stdint.h>

struct mail;

struct reserve {
    int64_t again_ms; /* nothing is begun before; 0: there is room */
    int64_t wait_ms;  /* the last wait */
    bool said;
    struct timer timer;
};

/* Room for m. False: there is none for some time. */
bool reserve_take(struct qmgr *q, struct mail *m);
void reserve_give_all(struct qmgr *q, struct mail *m);

/* How long it takes until it is tried again. */
int64_t reserve_wait_ms(const struct qmgr *q);

/* Nothing is to be begun for want of room. */
bool reserve_is_short(const struct qmgr *q);

/* May agents be handed more? */
bool reserve_allows(struct qmgr *q);

/*
 * What m has set aside for its last record, or for one in between (0: no more),
 * is another's now, who gives it back.
 */
uint64_t reserve_pass(struct mail *m);
uint64_t reserve_pass_piece(struct mail *m);
void reserve_give(struct qmgr *q, uint64_t octets);
