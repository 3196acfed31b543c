/*
 * dns_filter - smtpd_dns_reply_filter and its kin: records that a table wants
 * to have ignored.
 *
 * A record is asked for as "name. ttl IN type value", an MX record as "name. ttl
 * IN MX preference value."; names end with a dot.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/dns/dns.h"
#include "lib/table/table.h"

/*
 * What filter (NULL: none) leaves of an answer to a question for name and type
 * that ended with status: the status now. Where it leaves nothing, or says
 * what is not known, that is DNS_TRYAGAIN. Logs under tag what is ignored.
 * Waits when a table does.
 */
enum dns_status dns_filter_answer(struct table_list *filter, const char *tag,
    struct slice name, enum dns_type type, enum dns_status status,
    struct dns_answer *answer, struct why *why) __attribute__((nonnull(6, 7)))
ATTR_MUST_USE;
