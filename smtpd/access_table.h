/*
 * access_table - access(5): keys in the order of the manual, and what the
 * entries that are found do.
 *
 * All wait. *found tells an entry that says DUNNO from no entry at all.
 */
#pragma once

#include "lib/base/attr.h"
#include "smtpd/evaluation.h"
#include "smtpd/policy.h"

/* A table, and what it is asked about. */
struct access {
    struct evaluation *e;
    const struct check *check;
    struct subject subject; /* as refusals name it */
    bool found;
};

/* Who said so, for logs: "hash:/etc/postern/access", "inet:127.0.0.1:10023". */
static inline const char *
access_source(const struct access *a)
{
    return a->check->policy != NULL ? policy_name(a->check->policy)
                                    : table_name(a->check->table);
}

/* A name and its parents, as parent_domain_matches_subdomains has it. */
enum verdict access_domain(struct access *a, struct slice name) ATTR_NONNULL;
/* An IP address and the networks that it is in, octet by octet. */
enum verdict access_address(struct access *a, struct slice address)
    ATTR_NONNULL;
/* A mail address in standard form; routed: see struct recipient_place. */
enum verdict access_mail(struct access *a, struct slice address, bool routed)
    ATTR_NONNULL;
/* One key as it is. */
enum verdict access_key(struct access *a, struct slice key) ATTR_NONNULL;

/*
 * The verdict, unless it is a permission that RESTRICTION_NO_PERMIT rules out:
 * that is an error of configuration.
 */
enum verdict access_allow(struct access *a, enum verdict verdict) ATTR_NONNULL;

/*
 * The value of an entry, found for key: access_action.c. Untrusted in form.
 */
enum verdict access_act(struct access *a, struct slice key, struct slice value)
    ATTR_NONNULL;
