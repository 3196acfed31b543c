/*
 * recipient_check - is there such a recipient? (reject_unlisted_recipient,
 * reject_unlisted_sender): local_recipient_maps, virtual_alias_maps,
 * virtual_mailbox_maps, relay_recipient_maps, by the address's class.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/mail/address_class.h"
#include "lib/table/table.h"

struct recipient_tables;

/* classes must outlive it. */
enum result recipient_tables_open(struct address_classes *classes,
    struct recipient_tables **tables, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void recipient_tables_close(struct recipient_tables *t);

/*
 * RESULT_OK: it exists, or its class has no table that would know.
 * RESULT_PERMFAIL: *code is the reply's (unknown_*_reject_code), why has 5.1.1
 * (the caller makes 5.1.0 of it for a sender) and Postfix's text "User unknown
 * in local recipient table" or, without show_user_unknown_table_name, "User
 * unknown". RESULT_TEMPFAIL: a table could not be asked; *code is 451.
 * address is in internal form and standard form (rewrite_address()); class is
 * that of its domain. Waits.
 */
enum result recipient_check(struct recipient_tables *t,
    enum address_class class, struct slice address, int *code, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Does clean-up turn it into others, so that its own route says nothing? */
enum table_status recipient_is_rewritten(struct recipient_tables *t,
    struct slice address, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
