/*
 * alias - aliases(5): a local name that stands for other addresses.
 *
 * An expansion is one new message for all its addresses, submitted in the same
 * transaction that settles the recipient it came from: either both happen or
 * neither. "\name" among the addresses means the mailbox of that name, not its
 * alias.
 */
#pragma once

#include "local/agent.h"

/*
 * Is name (local part, lower case) an alias? RESULT_OK: *value is what it
 * stands for, or *found is false. RESULT_TEMPFAIL: the tables cannot tell.
 * Waits.
 */
enum result alias_find(const struct job *job, struct slice name,
    struct buf *value, bool *found, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * One address of the text of an alias: "a, \b, \"c d\"@e". False at the end.
 * Commands, files and :include: come out as they stand, quotes taken off.
 */
bool alias_next(struct slice *rest, struct buf *address) ATTR_NONNULL;

/*
 * Submit the expansion of rcpt, known as name, and fill in *r. Waits.
 */
void alias_deliver(const struct job *job, const struct delivery_recipient *rcpt,
    struct slice name, struct slice value, struct rcpt_result *r) ATTR_NONNULL;
