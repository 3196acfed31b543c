/*
 * address_lookup - tables asked for mail addresses, in the order that
 * virtual(5), canonical(5), access(5), aliases(5) and transport(5) document.
 *
 * Addresses are in internal form; keys are tried in external form first, with
 * the local part quoted where it has to be, and then as they are.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/mail/address_class.h"
#include "lib/table/table.h"

/* The forms that are tried, in this order. */
enum address_form {
    ADDRESS_FULL = 1 << 0,         /* user+ext@domain */
    ADDRESS_NO_EXTENSION = 1 << 1, /* user@domain */
    ADDRESS_USER = 1 << 2,         /* user+ext, user: where domain is local */
    ADDRESS_USER_AT = 1 << 3,      /* user+ext@, user@: where domain is local */
    ADDRESS_AT_DOMAIN = 1 << 4,    /* @domain */
    ADDRESS_DOMAIN = 1 << 5,       /* domain */
    ADDRESS_PARENTS = 1 << 6,      /* the domain's parents, as named below */
    ADDRESS_PARENTS_DOT = 1 << 7,  /* the same with a dot in front */
    ADDRESS_USER_ANYWHERE = 1 << 8, /* user+ext, user: whatever the domain */

    /* virtual(5), canonical(5), generic(5), local_recipient_maps, ... */
    ADDRESS_MAP = ADDRESS_FULL | ADDRESS_NO_EXTENSION | ADDRESS_USER |
        ADDRESS_AT_DOMAIN,
    /* transport(5) */
    ADDRESS_TRANSPORT = ADDRESS_FULL | ADDRESS_NO_EXTENSION | ADDRESS_DOMAIN,
    /* access(5), by address */
    ADDRESS_ACCESS = ADDRESS_FULL | ADDRESS_NO_EXTENSION | ADDRESS_DOMAIN |
        ADDRESS_USER_AT,
};

/*
 * The first form that any table of list has. *extension is the part of the
 * address that did not match, with its delimiter ("+ext"), or empty; it borrows
 * from address. Waits.
 */
enum table_status address_find(struct address_classes *classes,
    struct table_list *list, unsigned forms, struct slice address,
    struct buf *value, struct slice *extension, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * The addresses that a table makes of one (virtual(5), canonical(5)): the value
 * is a list in external form; "@otherdomain" keeps the user, each address is
 * brought to standard form (rewrite_address(), REWRITE_LOCAL), and with
 * propagate the extension that did not match is put on. TABLE_ERROR also when
 * more than limit come out. Waits.
 */
struct address_results {
    struct slice *list;
    size_t count;
};
enum table_status address_map(struct address_classes *classes,
    struct table_list *list, bool propagate, struct slice address, size_t limit,
    struct arena *arena, struct address_results *results, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Is "virtual", "canonical", ... in propagate_unmatched_extensions? */
bool address_propagates(const struct config *config, const char *table)
    ATTR_NONNULL;
