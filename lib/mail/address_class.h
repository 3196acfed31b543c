/*
 * address_class - who answers for a domain (ADDRESS_CLASS_README): the lists
 * mydestination with inet_interfaces and proxy_interfaces, virtual_alias_domains,
 * virtual_mailbox_domains, relay_domains, opened once for a configuration.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/mail/route.h"
#include "lib/table/table.h"

struct address_classes;

/* config must outlive it. Waits (names in inet_interfaces are looked up). */
enum result address_classes_open(const struct config *config,
    struct address_classes **classes, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void address_classes_close(struct address_classes *c); /* NULL is welcome */
const struct config *address_classes_config(const struct address_classes *c)
    ATTR_NONNULL;

/*
 * The class of a domain: a name or a literal such as "[192.0.2.1]". A domain in
 * more than one list belongs to the first of the order above.
 * RESULT_TEMPFAIL: a table could not be asked. Waits.
 */
enum result address_class_find(struct address_classes *c, struct slice domain,
    enum address_class *class, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* mydestination, or an address of this machine. Waits. */
enum table_status address_class_is_local(struct address_classes *c,
    struct slice domain, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Whether a parameter's domains match their subdomains: is its name in
 * parent_domain_matches_subdomains? For match_list_open().
 */
bool address_class_parent_matches(const struct config *config,
    const char *parameter) ATTR_NONNULL;
