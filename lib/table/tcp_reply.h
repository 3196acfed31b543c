/*
 * tcp_reply - the octets of tcp_table(5)'s protocol.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/table/table.h"

enum { TCP_REPLY_MAX = 4096 }; /* tcp_table(5) */

/* '%', blanks and what is not printable as %XX. */
void tcp_encode(struct slice text, struct buf *to) ATTR_NONNULL;

/* A reply without its line end. TABLE_ERROR sets why. */
enum table_status tcp_reply_parse(struct slice line, struct buf *value,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
