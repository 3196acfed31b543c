/*
 * The cleaner: what is live in a segment that is mostly dead is written anew,
 * envelopes and states into one open segment, contents into another; then the
 * segment is used again.
 *
 * Order that keeps mail safe: the copies are flushed, the owner has taken over
 * their places, then the source's header is durably overwritten. A REMOVE is
 * copied as long as a segment is left that has its message. Cleaning goes on
 * with one segment until that one is done: while a copy and its source are both
 * there, no REMOVE that kills both may be dropped.
 */
#pragma once

#include "qmgr/spool/state.h"

struct clean_job {
    struct segment *seg;
    struct buf index;
    struct slice rest; /* of index */
    bool in_place;     /* the open segment: nothing may be live in it */
    uint64_t end;      /* its end at that time */
    bool failed;       /* something could not be copied */
    bool unreadable;   /* and never will be */

    struct spool_step step;
    struct record_info *infos; /* of the moves */
    struct record_info *removes;
    size_t room, remove_count, remove_room;
    bool asked; /* the owner has the step */
    bool copied;
};

/* clean.c: after a failure, not the same again at once. */
void clean_pause(struct spool *s) ATTR_NONNULL;
