/*
 * batch - some of a message's recipients, in memory.
 *
 * A message of up to BATCH_RCPTS recipients that are not settled is one batch.
 * A larger one is read in several: the next when the recipients of those before
 * are mostly done with, and as far as qmgr_message_recipient_limit allows. A
 * batch whose recipients have all been tried is given back; what is left of it
 * is what the STATUS says of those that are deferred, ready to be written.
 */
#pragma once

#include "qmgr/mail.h"

enum {
    BATCH_RCPTS = 1000,
    BATCH_SCAN = 20000, /* settled ones that are passed over at a time */
};

struct batch {
    struct list link; /* of message->batches */
    struct mail *message;
    struct arena arena; /* of all that is below, and of what it borrows */
    struct rcpt *rcpts; /* those that were not settled, by index */
    size_t count;
    size_t asked;  /* from here on they are to be resolved yet */
    size_t open;   /* neither DEFERRED, FAILED, DONE nor SETTLED */
    size_t failed; /* FAILED */
    size_t done;   /* DONE */
};

/* The whole of m->envelope, as it came in. False: no memory. */
bool batch_take_all(struct qmgr *q, struct mail *m) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The next recipients off *rest, which is encoded ones, at most `most`; texts are
 * borrowed from it if m is not large, else copied.
 */
enum result batch_read(struct qmgr *q, struct mail *m, struct slice *rest,
    size_t most, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* All are tried, and their results are kept for the STATUS: free it. */
void batch_give_back(struct qmgr *q, struct batch *b) ATTR_NONNULL;

/* Whatever becomes of its recipients. */
void batch_free(struct qmgr *q, struct batch *b) ATTR_NONNULL;

/* What a STATUS of before says: of which are settled, of what the rest met. */
enum result batch_note_settled(struct mail *m, struct slice set,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
enum result batch_note_status(struct mail *m, struct slice head,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* What a record with STATUS_PART says of recipients that are DONE. */
enum result batch_note_told(struct mail *m, struct slice head, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * What is said of recipients that have a note, as groups of a STATUS. When to has
 * as much as may be kept of a message's reasons, it is said without them.
 */
void batch_put_groups(struct qmgr *q, struct batch *b, struct buf *to)
    ATTR_NONNULL;
