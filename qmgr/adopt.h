/*
 * adopt - the messages of another spool are taken over (postern adopt-spool).
 *
 * The other spool is opened as its owner would open it, so that one in use is
 * refused, and is marked as being adopted before anything else happens: from
 * then on nobody but us may have it. Its messages become ours in transactions
 * that also say which ones they were (qmgr/adopted). When all of them are here
 * that is written, then the other spool is marked as adopted; it is not changed
 * otherwise. Cut short anywhere, it can be begun again, and each message comes
 * once.
 *
 * A message keeps its id. If it is taken here, or is not reached yet, it gets
 * another, which the log names with the old one.
 *
 * One at a time; every message enters the queue when it is durable, while
 * others are still to come.
 */
#pragma once

#include "qmgr/core.h"

struct adopt_end {
    enum result result;
    struct why why;
    uint64_t moved;    /* now */
    uint64_t repeated; /* they were here already */
    uint64_t damaged;  /* they could not be read, and stay where they are */
};

struct adopt_order {
    struct disk *disk;
    int dir;      /* the spool's directory; taken over */
    bool offline; /* nothing is delivered here, and q is stopping */
    /* Called once, not from inside adopt_begin(). */
    void (*done)(void *context, const struct adopt_end *end);
    void *context;
};
void adopt_begin(struct qmgr *q, const struct adopt_order *order) ATTR_NONNULL;

/* A message that comes has this id, and is not durable yet. */
bool adopt_brings(const struct qmgr *q, uint64_t id) ATTR_NONNULL;
