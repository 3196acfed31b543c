/*
 * endpoint - where a server is: "inet:host:port", "host:port", "[::1]:port",
 * "unix:/path".
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>
#include <stdint.h>

struct endpoint {
    char *path;        /* of a socket, or NULL */
    char *host, *port; /* else these */
};

/* port NULL: the text has to have one. False: it makes no sense. */
bool endpoint_parse(struct slice text, const char *port, struct endpoint *e)
    __attribute__((nonnull(3))) ATTR_MUST_USE;
void endpoint_fini(struct endpoint *e) ATTR_NONNULL;

/* Each address of the host in turn. Waits; *fd is non-blocking. */
enum result endpoint_connect(const struct endpoint *e, int64_t deadline_ms,
    int *fd, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
