/*
 * console_private - what the parts of qmgr/console share: one command's
 * connection, and how its questions are answered.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/io/fiber.h"
#include "lib/ipc/link.h"
#include "lib/mail/queue_control.h"
#include "qmgr/console.h"

#include <stdbool.h>
#include <sys/types.h>

enum {
    CONSOLE_BATCH = 256,         /* messages read side by side */
    CONSOLE_ROOM_MS = 60 * 1000, /* who takes nothing for so long is left */
};

/* One command. */
struct console {
    struct list link;
    uid_t uid;
    struct qmgr *q;
    enum console_mode mode;
    bool may_edit;
    bool ended;
    bool asked;       /* something that is not answered yet */
    bool walking;     /* through the whole queue, see console_walk_begin() */
    unsigned serving; /* requests that use this */
    struct fiber_cond gone;
};

void console_done(struct request *r, uint64_t count) ATTR_NONNULL;
void console_refuse(struct request *r, const char *text) ATTR_NONNULL;

/*
 * Going through the whole queue takes memory and work, so that only some of a
 * user's commands may do it at a time; the others wait. False: the command has
 * left. Waits.
 */
bool console_walk_begin(struct console *c, struct request *r)
    ATTR_NONNULL ATTR_MUST_USE;
void console_walk_end(struct console *c) ATTR_NONNULL;

/* Each serves one request to its end, on a fiber of its own. */
void console_list(struct console *c, struct request *r) ATTR_NONNULL;
void console_edit(struct console *c, struct request *r) ATTR_NONNULL;
void console_flush(struct console *c, struct request *r) ATTR_NONNULL;
void console_cat(struct console *c, struct request *r) ATTR_NONNULL;
void console_destinations(struct console *c, struct request *r) ATTR_NONNULL;
void console_adopt(struct console *c, struct request *r) ATTR_NONNULL;
