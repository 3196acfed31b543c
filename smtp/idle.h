/*
 * idle - sessions that wait for their next message: found by the destination
 * that they were opened for, or by the address of their server.
 *
 * Who takes a session owns it. One that nobody takes in time says QUIT. The
 * server may have closed it meanwhile: that shows at the next command, and the
 * delivery begins again with a fresh one (TRANSACTION_STALE).
 */
#pragma once

#include "lib/base/slice.h"
#include "smtp/session.h"

#include <stddef.h>
#include <stdint.h>

struct idle;

enum { IDLE_MAX = 1000 }; /* sessions of this process */

struct idle *idle_new(void) ATTR_MUST_USE;

/* None is left: idle_close(), and nobody is leaving. NULL is welcome. */
void idle_free(struct idle *idle);

/*
 * A delivery to destination begins. True: there is demand, because another one
 * began within the last limit_ms; *mark is for idle_demand_since().
 */
bool idle_note_demand(struct idle *idle, const char *service,
    struct slice destination, int64_t limit_ms, uint32_t *mark) ATTR_NONNULL;

/* Did another one begin since that mark was made? */
bool idle_demand_since(const struct idle *idle, const char *service,
    struct slice destination, uint32_t mark) ATTR_NONNULL;

/*
 * Keep s, which was opened for destination, for keep_ms. False: there are too
 * many already, s is still the caller's.
 */
bool idle_put(struct idle *idle, struct session *s, struct slice destination,
    int64_t keep_ms) ATTR_NONNULL ATTR_MUST_USE;

/* NULL when there is none. */
struct session *idle_take(struct idle *idle, const char *service,
    struct slice destination) ATTR_NONNULL;
struct session *idle_take_address(struct idle *idle, const char *service,
    const struct sock_addr *addr) ATTR_NONNULL;

/* How many wait for mail to destination. */
unsigned idle_count(const struct idle *idle, const char *service,
    struct slice destination) ATTR_NONNULL;

/* Have a session that is not kept say QUIT, without waiting for it. */
void idle_dismiss(struct idle *idle, struct session *s) ATTR_NONNULL;

/* Close them all: the configuration changed, or the process ends. */
void idle_close(struct idle *idle) ATTR_NONNULL;

/* Sessions that are saying QUIT at the moment. */
unsigned idle_leaving(const struct idle *idle) ATTR_NONNULL;
