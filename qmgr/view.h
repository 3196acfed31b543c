/*
 * view - a message as the commands show it, read back from the spool or taken
 * from the active set. For fibers.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/mail/queue_control.h"
#include "qmgr/core.h"
#include "qmgr/record.h"

#include <stdbool.h>
#include <stdint.h>

struct view_batch;

/* One message. Good until view_fini(). */
struct view {
    uint64_t id;
    bool found; /* false: it has left the queue, or cannot be read */
    struct arena arena;
    struct queue_item item;
    struct message_record record;
    struct envelope envelope;
    struct slice header, body; /* VIEW_CONTENT; a blob's body is in fd */
    int fd;
    struct buf head, content, status;
    struct view_batch *batch;
};

enum view_depth { VIEW_ENVELOPE, VIEW_CONTENT };

/* views[i].id are set. Waits. */
void view_read(struct qmgr *q, struct view *views, size_t count,
    enum view_depth depth) ATTR_NONNULL;
void view_fini(struct qmgr *q, struct view *v) ATTR_NONNULL;

/* In which queue e is; false: in none that may be seen. */
bool view_queue(const struct entry *e, enum queue_name *queue) ATTR_NONNULL;
