/*
 * target - the addresses of a destination, in the order in which they are tried.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/io/sock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct target {
    struct slice host;     /* name of the server */
    struct slice path;     /* of a Unix socket, else empty */
    struct sock_addr addr; /* with port */
    uint32_t preference;
    bool best; /* of the best preference that the destination has */
};

struct targets {
    struct target *list; /* in arena */
    size_t count, room;
    bool we_are_exchanger; /* our own address was among them, and was cut */
    bool loop;             /* nothing is left because we are the best one */
};

/*
 * Sort by preference, then by smtp_address_preference; equal ones in random
 * order when smtp_randomize_addresses. Then cut down to limit (0: all), keeping
 * both address families where balance asks for it.
 */
enum target_family { FAMILY_ANY, FAMILY_INET, FAMILY_INET6 };
void targets_sort(struct targets *t, enum target_family preferred, bool shuffle)
    ATTR_NONNULL;
void targets_limit(struct targets *t, size_t limit, bool balance) ATTR_NONNULL;

/* Family, address and port are the same. */
bool target_same_address(const struct sock_addr *a, const struct sock_addr *b)
    ATTR_NONNULL;

/* Take one out, wherever it stands: it was tried already. */
void targets_remove(struct targets *t, const struct sock_addr *addr)
    ATTR_NONNULL;
