/*
 * budget - how much of the disk the cleaner may take from fresh mail.
 *
 * What a write costs is its octets and, for its flush, as much as so many octets
 * take meanwhile. Of what mail costs the cleaner may spend a quarter; as much
 * again while more is in use than is promised (docs/SPOOL-FORMAT.md, section 5);
 * and in any case a little each second, so that space comes back in a bounded
 * time. Nobody is in its way when no mail was written for a moment, and nothing
 * when the disk is nearly full: then there is no limit.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    BUDGET_FLUSH = 64 * 1024,   /* a flush, in octets */
    BUDGET_SHARE = 4,           /* a fourth of what mail costs */
    BUDGET_FLOOR = 4096,        /* octets in a millisecond */
    BUDGET_MOST = 32 * 1048576, /* that may be saved up */
    BUDGET_IDLE_MS = 50,        /* without mail: there is no limit */
};

struct budget {
    int64_t octets; /* left; less than 0: overdrawn by the last step */
    int64_t seen_ms;
    int64_t mail_ms; /* when mail was written last */
};

/* A batch of mail was written; behind: too much is in use. */
void budget_mail(struct budget *b, uint64_t octets, bool behind) ATTR_NONNULL;

/* The cleaner read or wrote so many octets, with so many flushes. */
void budget_spend(struct budget *b, uint64_t octets, unsigned flushes)
    ATTR_NONNULL;

/* Is mail being written? */
bool budget_is_idle(const struct budget *b) ATTR_NONNULL;

/* May it do another step? */
bool budget_allows(struct budget *b) ATTR_NONNULL;
