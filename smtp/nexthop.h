/*
 * nexthop - destinations of smtp(8) and lmtp(8): "example.com", "host:25",
 * "[host]", "[192.0.2.1]:2525", "[IPv6:2001:db8::1]", for LMTP also
 * "inet:host:24" and "unix:private/lmtp"; several of them separated by commas
 * or blanks.
 */
#pragma once

#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/io/sock.h"

#include <stdbool.h>
#include <stdint.h>

enum nexthop_kind {
    NEXTHOP_DOMAIN, /* its mail exchangers */
    NEXTHOP_HOST,   /* that host itself: in brackets, or LMTP */
    NEXTHOP_UNIX,   /* a path; relative to queue_directory */
};

enum {
    NEXTHOP_HOST_MAX = 255,
    NEXTHOP_LIST_MAX = 100, /* destinations in one list that are tried */
};

enum nexthop_protocol { NEXTHOP_SMTP, NEXTHOP_LMTP };

struct nexthop {
    enum nexthop_kind kind;
    struct slice text;     /* all of it, for messages */
    struct slice host;     /* without brackets; or the path */
    uint16_t port;         /* host byte order */
    struct sock_addr addr; /* len > 0: host is an address; port is in it */
};

/* Cut the next destination off a list. False at its end. */
bool nexthop_next(struct slice *rest, struct slice *text) ATTR_NONNULL;

/*
 * Slices borrow from text. RESULT_TEMPFAIL: bad syntax, which is the admin's
 * mistake and not the sender's. Waits for the port of an unusual service name.
 */
enum result nexthop_parse(struct slice text, enum nexthop_protocol protocol,
    uint16_t default_port, struct nexthop *hop, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * A port by number or name. The names that mail uses are known; others are
 * looked up in services(5), for which this waits.
 */
bool nexthop_port(struct slice text, uint16_t *port) ATTR_NONNULL ATTR_MUST_USE;
