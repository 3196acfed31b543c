/*
 * inbox - octets and descriptors from a peer become messages, or a broken rule.
 *
 * Knows no socket: the owner reads into inbox_room(), says with inbox_add()
 * what came, and takes messages until there is none. Small frames are read many
 * at a time through one buffer; the body of a large one is read to where it
 * stays.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/ipc/link.h"
#include "lib/ipc/protocol.h"

#include <stddef.h>
#include <stdint.h>

enum {
    INBOX_BUFFER = 64 * 1024,
    INBOX_FDS_MAX = 8, /* received, not yet claimed by a frame */
};

struct inbox {
    enum role self, peer;
    char *buffer; /* made when first needed */
    size_t start, end;
    struct msg_in *partial; /* a large frame; its body still comes */
    size_t have;            /* octets of that body */
    int fds[INBOX_FDS_MAX]; /* in the order in which they came */
    unsigned fd_count;
    uint32_t broken_type;    /* INBOX_BROKEN: the message ... */
    const char *broken_rule; /* ... and what it broke */
};

/*
 * A message with room for a body of that length right behind it, one piece of
 * memory. NULL when there is none.
 */
struct msg_in *msg_in_new(uint16_t type, uint32_t number, uint32_t length)
    ATTR_MUST_USE;
char *msg_in_body(struct msg_in *m) ATTR_NONNULL;

void inbox_init(struct inbox *in, enum role self, enum role peer) ATTR_NONNULL;
void inbox_fini(struct inbox *in) ATTR_NONNULL;

/* Where to read to; *size is at least 1. */
void *inbox_room(struct inbox *in, size_t *size) ATTR_NONNULL ATTR_MUST_USE;

/* n octets are in the room, and count descriptors came, which we now own. */
void inbox_add(struct inbox *in, size_t n, const int *fds, unsigned count)
    __attribute__((nonnull(1)));

enum inbox_status {
    INBOX_MORE, /* read on */
    INBOX_MESSAGE,
    INBOX_BROKEN, /* and so it stays */
};
enum inbox_status inbox_next(struct inbox *in, struct msg_in **m)
    ATTR_NONNULL ATTR_MUST_USE;
