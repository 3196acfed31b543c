/*
 * outbox - frames on their way into a socket.
 *
 * Small frames of one turn are gathered in chunks, large bodies are taken over
 * instead of copied, and all goes out with as few calls as can be. Descriptors
 * travel with the first octet of their frame, so such a frame starts a chunk.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct outbox {
    struct list chunks;
    size_t octets; /* not yet taken by the socket */
};

void outbox_init(struct outbox *out) ATTR_NONNULL;

/* Drops what was not sent. May be called twice. */
void outbox_fini(struct outbox *out) ATTR_NONNULL;

/* Takes what m holds; m is empty afterwards. */
void outbox_add(struct outbox *out, struct msg *m, uint32_t number)
    ATTR_NONNULL;

enum outbox_status {
    OUTBOX_EMPTY, /* all is with the kernel */
    OUTBOX_FULL,  /* the socket takes no more now */
    OUTBOX_ERROR, /* errno says */
};
enum outbox_status outbox_write(struct outbox *out, int fd)
    ATTR_NONNULL ATTR_MUST_USE;
