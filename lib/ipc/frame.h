/*
 * frame - the head of each message on a socket, and what it may say.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/ipc/protocol.h"

#include <stdint.h>

enum { FRAME_HEAD = 12 }; /* octets before the body: see protocol.h */

struct frame {
    uint32_t length; /* of the body */
    uint16_t type;
    uint16_t fds;
    uint32_t number;
};

void frame_encode(const struct frame *f, char to[FRAME_HEAD]) ATTR_NONNULL;

/* octets has at least FRAME_HEAD. */
void frame_decode(struct slice octets, struct frame *f) ATTR_NONNULL;

/*
 * NULL when a peer of role from may send such a frame to us, who are to; else
 * the rule that it breaks, in words for the log.
 */
const char *frame_refuse(const struct frame *f, enum role from, enum role to)
    ATTR_NONNULL;

/* For the log: "SUBMIT", or "message 999" in text. */
enum { FRAME_NAME_MAX = 32 };
const char *frame_name(uint32_t type, char text[FRAME_NAME_MAX]) ATTR_NONNULL;
