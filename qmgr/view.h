/*
 * view - messages as the commands show them, read back from the spool or taken
 * from the active set. For fibers.
 *
 * All but a look at the index is done by one of the I/O threads, a batch at a
 * time: reading, decoding, choosing and coding for the link. So a listing of a
 * million takes little of the loop.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/mail/queue_control.h"
#include "qmgr/core.h"
#include "qmgr/record.h"

#include <stdbool.h>
#include <stdint.h>

enum { VIEW_PARTS = 8 };

/* Why a recipient is put off. */
struct view_reason {
    uint32_t index;
    struct slice text;
};

/* One message. Good until view_fini(). */
struct view {
    uint64_t id;
    bool found; /* false: it has left the queue, cannot be read, or is not
                   what the filter asks for */
    struct arena arena;
    struct queue_item item;
    struct message_record record;
    struct envelope envelope;
    struct slice header, body; /* VIEW_CONTENT; a blob's body is in fd */
    int fd;
    struct msg coded; /* VIEW_CODED: item, for the link */

    /* What follows is the view's own. */
    struct spool_place place, content, status, parts[VIEW_PARTS];
    size_t part_count;
    uint64_t blob;
    bool *settled; /* in the active set, that knows better than the disk */
    size_t settled_count;
    struct view_reason *reasons; /* likewise: of this round */
    size_t reason_count;
    bool missed; /* a record was not where it should be */
    bool ready;  /* read, and found */
    struct buf head_octets, content_octets, status_octets;
};

enum view_depth {
    VIEW_CODED,   /* item, in coded alone: what is listed */
    VIEW_ITEM,    /* item */
    VIEW_CONTENT, /* the whole message */
};

/*
 * views[i].id are set, the rest is empty. filter may be NULL. Waits, and is not
 * cut short.
 */
void view_read(struct qmgr *q, struct view *views, size_t count,
    enum view_depth depth, const struct queue_filter *filter)
    __attribute__((nonnull(1, 2)));
void view_fini(struct qmgr *q, struct view *v) ATTR_NONNULL;
