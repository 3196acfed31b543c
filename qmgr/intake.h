/*
 * intake - what submitters hand in: messages, and what they settle.
 *
 * A submission becomes one transaction: the message, and what it settles of
 * another one. The submitter is answered when that is durable and not before.
 * The same id again, or the same drop file, is answered from the index, or
 * from what is remembered of messages that have left it.
 */
#pragma once

#include "lib/ipc/link.h"
#include "qmgr/core.h"

enum {
    HELD_OCTETS_MAX = 256 << 20, /* of contents in memory */
    /* The same, with what enters: whoever is faster than the disk waits. */
    ENTERING_OCTETS_MAX = 2 * HELD_OCTETS_MAX,
    /* With notices and forwards, which may go further: mail leaves by them. But
       who makes them may have been taken over. */
    SETTLING_OCTETS_MAX = 2 * ENTERING_OCTETS_MAX,
};

/*
 * A SUBMIT; takes over in. The request is answered with SUBMITTED. place is
 * that of the peer in its pool, never 0: its successor has it, too, and may
 * repeat what it submitted. Nobody else may: he would be told that his message
 * is in the queue when another's is.
 */
void intake_submit(struct qmgr *q, void *request, const void *owner,
    uint16_t place, struct msg_in *in) ATTR_NONNULL;

/* The submitter of id was not there to be answered: it may ask again. */
void intake_unanswered(struct qmgr *q, uint64_t id) ATTR_NONNULL;

/* e leaves the index. */
void intake_forget(struct qmgr *q, struct entry *e) ATTR_NONNULL;

void intake_init(struct qmgr *q) ATTR_NONNULL;
void intake_fini(struct qmgr *q) ATTR_NONNULL;
