/*
 * virtual_alias - virtual(5): one recipient becomes several, again and again,
 * until nothing changes.
 */
#pragma once

#include "lib/mail/address_lookup.h"
#include "lib/mail/cleanup_profile.h"

/* The work of one message; its memory is used again for each recipient. */
struct virtual_alias {
    struct cleanup_profile *profile;
    const char *id; /* queue id, for the log */
    struct arena *arena;
    struct slice *done; /* addresses that no table has */
    struct slice *todo; /* a stack of those still to be asked, */
    unsigned *depth;    /* and through how many aliases each came */
    size_t done_count, todo_count;
    size_t room; /* virtual_alias_expansion_limit */
};

void virtual_alias_init(struct virtual_alias *v, struct cleanup_profile *p,
    const char *id, struct arena *arena) ATTR_NONNULL;
void virtual_alias_fini(struct virtual_alias *v) ATTR_NONNULL;

/*
 * The addresses that address stands for, itself alone if no table has it; good
 * until the next call. RESULT_TEMPFAIL: a table failed, or a limit was met
 * (4.6.0, logged): such a message is not accepted. Waits.
 */
enum result virtual_alias_expand(struct virtual_alias *v, struct slice address,
    struct address_results *results, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
