/*
 * transport - "transport:nexthop", as transport(5), default_transport and their
 * kin have it.
 */
#pragma once

#include "lib/base/slice.h"

#include <stdbool.h>

struct transport {
    struct slice name;    /* of a service in master.cf; may be empty */
    struct slice nexthop; /* may be empty, and may have colons of its own */
};

/* Borrows from text. Text without a colon is a transport alone. */
struct transport transport_split(struct slice text);

/* "error" and "retry": their next hop is a text for people. */
bool transport_is_error(struct slice name);
