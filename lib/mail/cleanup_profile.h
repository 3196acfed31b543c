/*
 * cleanup_profile - what clean-up under one line of master.cf works with: its
 * parameters, and the tables that they name, opened once and kept for as long
 * as the configuration is in use.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/mail/address_class.h"
#include "lib/mail/cleanup.h"
#include "lib/table/table.h"

enum { CLEANUP_DROP_MAX = 64 }; /* names in message_drop_headers */

struct cleanup_profile {
    struct list node;
    unsigned users;
    struct config_set *set;
    const struct config *config;
    const struct config *rewrite_config; /* of rewrite_service_name */
    const char *tag;                     /* "postfix/cleanup" */
    struct address_classes *classes;
    struct table_list *virtual_alias_maps;
    bool propagates_virtual; /* propagate_unmatched_extensions */
    struct slice drop[CLEANUP_DROP_MAX];
    size_t drop_count;
};

/*
 * The profile of a service, for one more user. RESULT_TEMPFAIL: its tables
 * cannot be opened. Waits, the first time.
 */
enum result cleanup_profile_use(struct config_set *set, const char *service,
    struct cleanup_profile **profile, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void cleanup_profile_leave(struct cleanup_profile *p) ATTR_NONNULL;
