/*
 * virtual_alias - virtual(5): one recipient becomes several, again and again,
 * until nothing changes.
 */
#pragma once

#include "lib/mail/address_lookup.h"
#include "lib/mail/cleanup_profile.h"

/*
 * The addresses that address stands for, itself alone if no table has it.
 * RESULT_TEMPFAIL: a table failed, or a limit was met (4.6.0, logged): such a
 * message is not accepted. id is for the log. Waits.
 */
enum result virtual_alias_expand(struct cleanup_profile *p, const char *id,
    struct slice address, struct arena *arena, struct address_results *results,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
