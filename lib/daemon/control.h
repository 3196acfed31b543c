/*
 * control - what master tells a daemon: CONFIGURE, LINK, LISTEN, UNLISTEN, WAKE,
 * DRAIN, DIED; and what qmgr tells master: RESTART. Both ends of these messages
 * are here.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/io/logsink.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CONTROL_POOL_MAX = 1024, /* processes of one daemon */
    CONTROL_SNAPSHOT_MAX = 64 * 1024 * 1024,
    CONTROL_SECRET_SIZE = 16,
};

/*
 * Keys that qmgr alone is given: its own, and that of the last one before it
 * that served. Of no use to anybody once master has ended.
 */
struct control_secrets {
    unsigned char own[CONTROL_SECRET_SIZE];
    unsigned char former[CONTROL_SECRET_SIZE];
};

/*
 * CONFIGURE. Its descriptors: the snapshot (a sealed memory file), then the
 * log's if has_log, then the table of slots if has_slots, then what is for this
 * daemon alone if has_private (a sealed memory file).
 */
struct control_configure {
    uint32_t length;      /* of the snapshot */
    uint32_t index, pool; /* which process of how many */
    uint32_t expected;    /* LINKs that follow, before the daemon begins */
    uint32_t column;      /* of lib/daemon/slots */
    enum logsink_kind log;
    bool has_log, has_slots, has_private;
    bool has_secrets;
    struct control_secrets secrets;
};
void control_configure_encode(const struct control_configure *c, struct msg *m)
    ATTR_NONNULL;
bool control_configure_decode(const struct msg_in *in,
    struct control_configure *c) ATTR_NONNULL ATTR_MUST_USE;

/* How a process ended. */
enum process_end {
    PROCESS_EXITED,   /* code is its exit status */
    PROCESS_SIGNALED, /* code is the signal */
    PROCESS_REPLACED, /* qmgr had no use for it: RESTART */
};

/* The others; what a message does not say is 0 or empty. */
struct control {
    enum role role;       /* LINK, DIED, RESTART */
    uint32_t index;       /* likewise: of that process in its pool */
    uint32_t process;     /* likewise: which process of all */
    bool elder;           /* LINK: it was there before the receiver was */
    enum process_end end; /* DIED */
    uint32_t code;        /* DIED */
    uint32_t row;         /* LISTEN: of lib/daemon/slots */
    uint32_t ms;          /* DRAIN: time for it */
    struct slice name;    /* LISTEN, UNLISTEN: of a socket, unique */
    struct slice service; /* LISTEN, WAKE: "smtp/inet", or "public/..." */
};
void control_encode(const struct control *c, struct msg *m) ATTR_NONNULL;

/* Texts borrow from in. */
bool control_decode(const struct msg_in *in, struct control *c)
    ATTR_NONNULL ATTR_MUST_USE;
