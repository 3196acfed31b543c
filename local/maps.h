/*
 * maps - the tables that local's parameters name.
 *
 * Each list is opened when it is first asked and kept: the tables themselves
 * notice changed files, and a configuration has few different texts.
 */
#pragma once

#include "lib/table/table.h"

/* Look key up in the tables that text names. Waits. */
enum table_status maps_find(const struct config *config, const char *text,
    struct slice key, struct buf *value, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * The same for an address of a mailbox table: user+ext@domain, user@domain,
 * @domain.
 */
enum table_status maps_find_mailbox(const struct config *config,
    const char *text, struct slice address, struct buf *value, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Open what text names, so that a mistake shows at start or reload. */
enum result maps_check(const struct config *config, const char *text,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
