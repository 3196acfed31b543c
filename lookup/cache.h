/*
 * cache - answers that may be given again until their time is over, least used
 * ones going first: for the stub, since libunbound has a cache of its own.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/dns/dns.h"

#include <stddef.h>
#include <stdint.h>

struct cache;

struct cache *cache_new(size_t octets) ATTR_MUST_USE;
void cache_free(struct cache *c); /* NULL is welcome */
void cache_clear(struct cache *c) ATTR_NONNULL;

/*
 * The octets kept for a question; NULL when there are none. *octets borrows
 * from the cache until it changes.
 */
bool cache_find(struct cache *c, struct slice name, enum dns_type type,
    struct slice *octets) ATTR_NONNULL;

/* Keeps a copy for ttl seconds, replacing what was there. */
void cache_put(struct cache *c, struct slice name, enum dns_type type,
    struct slice octets, uint32_t ttl) ATTR_NONNULL;
