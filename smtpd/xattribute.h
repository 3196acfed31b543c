/*
 * xattribute - what XCLIENT and XFORWARD say: NAME=value ..., each value in
 * xtext.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "smtpd/refusal.h"

#include <stdbool.h>
#include <stdint.h>

enum xattribute {
    XATTRIBUTE_NAME,
    XATTRIBUTE_ADDR,
    XATTRIBUTE_PORT,
    XATTRIBUTE_PROTO,
    XATTRIBUTE_HELO,
    XATTRIBUTE_REVERSE_NAME,
    XATTRIBUTE_LOGIN,
    XATTRIBUTE_DESTADDR,
    XATTRIBUTE_DESTPORT,
    XATTRIBUTE_SOURCE,
    XATTRIBUTE_IDENT,
    XATTRIBUTE_COUNT,
};

enum xstate {
    XSTATE_ABSENT,
    XSTATE_UNAVAILABLE, /* "[UNAVAILABLE]" */
    XSTATE_TEMPORARILY, /* "[TEMPUNAVAIL]" */
    XSTATE_KNOWN,
};

enum { XVALUE_MAX = 255 }; /* octets of one value */

struct xattributes {
    struct {
        enum xstate state;
        struct slice value; /* of XSTATE_KNOWN, decoded, in the arena */
    } of[XATTRIBUTE_COUNT];
    uint16_t port, destport; /* where known */
};

/* The attributes of each command, as EHLO announces them. */
extern const char xclient_attributes[], xforward_attributes[];

/*
 * command is "XCLIENT" or "XFORWARD". False: *no is the reply. Addresses are in
 * the form of sock_addr_text().
 */
bool xattributes_parse(const char *command, struct slice args,
    struct arena *arena, struct xattributes *x, struct refusal *no)
    ATTR_NONNULL ATTR_MUST_USE;
