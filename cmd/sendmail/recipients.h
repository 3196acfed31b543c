/*
 * recipients - whom a message goes to: the command line's words, and with -t
 * the addresses in its header.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/mail/envelope.h"

#include <stdint.h>

/* Every address in text, a list as in a header. */
enum result recipients_add(struct slice text, uint32_t notify,
    unsigned token_limit, struct arena *arena, struct envelope *env,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Those in To:, Cc: and Bcc:; if the message is resent, those in the Resent-
 * fields instead (RFC 5322 section 3.6.6). header ends where the header does.
 */
enum result recipients_add_header(struct slice header, uint32_t notify,
    unsigned token_limit, struct arena *arena, struct envelope *env,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* The first address in text, in internal form and in arena; "<>" is empty. */
enum result recipients_parse_one(struct slice text, struct arena *arena,
    struct slice *address, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The octets of header in front of the empty line, or of the first line that is
 * no header; in.len when that is not yet there.
 */
size_t recipients_header_length(struct slice in);
