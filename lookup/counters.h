/*
 * counters - events of clients, users and senders over all smtpd processes
 * (anvil(8)): rates, connections at a time, and a line of statistics now and
 * then.
 *
 * They live here and not in memory that the smtpd processes share, since each
 * change is one message beside those that a session sends anyway, and since what
 * a taken-over smtpd writes is checked. Memory is bounded: COUNTERS_MAX keys,
 * half of them senders ("sender:..."); whoever is one too many is not counted.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/mail/count.h"

#include <stdint.h>

enum { COUNTERS_MAX = 100000 };

struct counters;

struct counters *counters_new(void) ATTR_MUST_USE;
void counters_free(struct counters *c);

/*
 * The times that rates are for: anvil_rate_time_unit, and for users and senders
 * ("login:...", "sender:...") smtpd_login_rate_time_unit.
 */
void counters_set_units(struct counters *c, int64_t clients_ms,
    int64_t users_ms) ATTR_NONNULL;

/* owner is the process whose event it is. */
void counters_count(struct counters *c, const void *owner,
    enum count_event event, struct slice key, struct count *count) ATTR_NONNULL;

/* The process is gone, and its connections with it. */
void counters_forget(struct counters *c, const void *owner) ATTR_NONNULL;

size_t counters_size(const struct counters *c) ATTR_NONNULL;

/* Log the highest values since the last time, under tag. */
void counters_log(struct counters *c, const char *tag) ATTR_NONNULL;
