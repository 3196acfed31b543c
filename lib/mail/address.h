/*
 * address - mail addresses in their two forms, and pieces of them.
 *
 * Internal form: local part without quotes, '@', domain: what tables are asked
 * and the queue keeps. External form: as SMTP and headers write it, the local
 * part quoted where RFC 5321 section 4.1.2 asks for it.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>

/* Split at the last '@'; false (local = all, no domain) when there is none. */
bool address_split(struct slice address, struct slice *local,
    struct slice *domain) ATTR_NONNULL;

/* External form (no angle brackets) of an internal address, and back. */
void address_quote(struct slice internal, struct buf *to) ATTR_NONNULL;
void address_unquote(struct slice external, struct buf *to) ATTR_NONNULL;

struct config;
/*
 * The same as info_log_address_format wants it in the log: borrows from internal,
 * or from hold, which the caller has zeroed and clears with buf_fini().
 */
struct slice address_for_log(const struct config *config, struct slice internal,
    struct buf *hold) ATTR_NONNULL;

/*
 * "user+ext" -> "user", "ext" by the first octet of recipient_delimiter that
 * occurs (as Postfix: never at the start; postmaster, mailer-daemon and
 * double-bounce are left alone; owner-list and list-request too when the
 * delimiter is '-' and owner_request_special). extension is without the
 * delimiter, which stands in front of it. False: no extension.
 */
bool address_extension(const struct config *config, struct slice local,
    struct slice *user, struct slice *extension) ATTR_NONNULL;

/* An atom of RFC 5321, ASCII only: such as the type of address in an ORCPT. */
bool atom_is_valid(struct slice atom);

/*
 * A domain name as it may stand in an address: labels of letters, digits, '-',
 * '_' and octets above 127, not all of it digits and dots.
 */
bool domain_is_valid(struct slice domain);

/* "[192.0.2.1]", "[IPv6:2001:db8::1]" */
bool domain_is_literal(struct slice domain);

/* "192.0.2.1", which is a domain where resolve_numeric_domain says so. */
bool domain_is_numeric(struct slice domain);
