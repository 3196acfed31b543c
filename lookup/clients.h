/*
 * clients - names of SMTP clients, remembered for some seconds: a client that
 * connects a hundred times at once is one question to the system, and those who
 * ask meanwhile wait for its answer.
 *
 * The system's means (lookup/native) block a thread each, so what waits for one
 * is bounded: past it a client has no name for now, which Postfix's tests for
 * unknown clients take for a temporary failure.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/dns/dns.h"

#include <stddef.h>

struct clients;

enum {
    CLIENTS_KEEP_MS = 10 * 1000,
    CLIENTS_MAX = 20000,       /* remembered */
    CLIENTS_ASKING_MAX = 2000, /* questions that threads have, or will */
};

/* Finds a name; native_client() but in tests. Waits. */
typedef void (
    *clients_ask_fn)(const struct sock_addr *addr, struct client_name *name);

struct clients *clients_new(clients_ask_fn ask) ATTR_MUST_USE;
void clients_free(struct clients *c); /* nobody asks; NULL is welcome */

/* addr is an IP address; its port does not count. Waits until the deadline. */
void clients_find(struct clients *c, const struct sock_addr *addr,
    int64_t deadline, struct client_name *name) ATTR_NONNULL;
