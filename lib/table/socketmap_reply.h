/*
 * socketmap_reply - the octets of socketmap_table(5)'s protocol: netstrings.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/table/table.h"

/* "5:hello," */
void socketmap_add_netstring(struct slice first, struct slice second,
    struct buf *to) ATTR_NONNULL;

/*
 * The length at the start of in, "5:". 1: there, *size and *used set; 0: more
 * is needed; -1: malformed, or over max.
 */
int socketmap_length(struct slice in, size_t max, size_t *size, size_t *used)
    ATTR_NONNULL ATTR_MUST_USE;

/* What was in the netstring. TABLE_ERROR sets why. */
enum table_status socketmap_reply_parse(struct slice reply, struct buf *value,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
