/*
 * late - what became of an attempt that another queue manager dispatched: the
 * agent outlived it, and tells the one that came after it.
 *
 * The token of an attempt is of no use here, since it was known to the dead one
 * alone. What fences late results is a proof that goes out with each DELIVER: a
 * keyed hash over token, recipients and the process that gets them. Its key is
 * new with each queue manager, which is given its predecessor's besides; so a
 * process can prove what it was given by the last queue manager, to itself and
 * nobody else, and nothing more. That the attempt is still the newest of its
 * message is for the receiver to see (attempt.number).
 */
#pragma once

#include "lib/base/siphash.h"
#include "lib/mail/delivery.h"

struct late {
    struct attempt attempt;
    uint64_t proof;
    const uint32_t *indexes; /* of all that the agent was given, ascending */
    size_t index_count;
    const struct rcpt_result *results; /* of some of them, ascending */
    size_t count;
};

void late_encode(const struct late *l, struct msg *m) ATTR_NONNULL;

/*
 * RESULT_OK: indexes and results ascend, and each result is of one of indexes.
 * Texts borrow from in.
 */
enum result late_decode(struct slice in, struct arena *arena, struct late *l,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

uint64_t late_proof(const unsigned char key[SIPHASH_KEY_SIZE],
    const struct attempt *a, uint32_t process, const uint32_t *indexes,
    size_t count) ATTR_NONNULL;
