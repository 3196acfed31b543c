/*
 * excuse - why a delivery did not happen: what its recipients are deferred or
 * returned with. Like struct why, but as long as a server's words may be, and
 * with what RFC 3464 wants to know of the remote.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>

struct reply;

enum {
    EXCUSE_TEXT_MAX = 1900,
    EXCUSE_REPLY_MAX = 1300, /* octets of a reply; the rest is for names */
};

struct excuse {
    char status[10];
    bool by_remote; /* text holds a server's reply */
    char text[EXCUSE_TEXT_MAX + 1];
    char remote[256];                     /* RFC 3464 Remote-MTA, or "" */
    char diagnostic[EXCUSE_TEXT_MAX + 1]; /* its reply, or "" */
};

void excuse_clear(struct excuse *e) ATTR_NONNULL;

static inline bool
excuse_is_set(const struct excuse *e)
{
    return e->status[0] != '\0';
}

/* True for class 4. */
static inline bool
excuse_is_soft(const struct excuse *e)
{
    return e->status[0] == '4';
}

void excuse_set(struct excuse *e, const char *status, const char *fmt, ...)
    ATTR_PRINTF(3, 4);
void excuse_from_why(struct excuse *e, const struct why *why) ATTR_NONNULL;

/*
 * The server's reply: "host NAME said: REPLY (in reply to COMMAND)", or with
 * command NULL "host NAME refused to talk to me: REPLY". A reply of no class 4
 * or 5 is a protocol error, 5.5.0.
 */
void excuse_from_reply(struct excuse *e, const char *name, const char *host,
    const struct reply *reply, const char *command)
    __attribute__((nonnull(1, 2, 3, 4)));
