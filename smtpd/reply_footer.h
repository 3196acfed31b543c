/*
 * reply_footer - what is done to refusals before they are said:
 * smtpd_reject_filter_maps, smtpd_reject_footer, smtpd_reject_footer_maps.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>

struct session;

enum { REPLY_MAX = 4096 }; /* octets of a whole reply */

/* Is anything done to refusals at all? */
bool reply_has_footer(const struct session *s) ATTR_NONNULL;

/*
 * reply is "550 5.1.1 text"; *to gets all lines of what takes its place, each
 * with its code and CRLF. Waits.
 */
void reply_add_footer(struct session *s, struct slice reply, struct buf *to)
    ATTR_NONNULL;
