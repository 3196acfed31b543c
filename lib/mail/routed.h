/*
 * routed - addresses that lead on from one of our own domains: user%site@ours,
 * site!user@ours (where the rewriting parameters know these forms) and
 * user@site@ours.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/mail/address_class.h"

struct routed {
    struct slice address; /* where it leads to; in the arena, or as given */
    struct slice domain;  /* of that */
    enum address_class class;
    /*
     * Its local part asks somebody to send it on, in a form that we need not
     * know: who takes our word for our mail may.
     */
    bool asks_for_more;
};

/*
 * address is in standard form (lib/mail/rewrite.h). config is that of the
 * rewrite service. RESULT_TEMPFAIL: a table failed. Waits.
 */
enum result routed_find(struct address_classes *classes,
    const struct config *config, struct slice address, struct arena *arena,
    struct routed *to, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
