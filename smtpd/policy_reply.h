/*
 * policy_reply - what a policy server answers: lines name=value, of which
 * "action=..." is the one that counts, and an empty line at the end.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/io/stream.h"

enum {
    POLICY_LINE_MAX = 4096, /* octets */
    POLICY_LINES_MAX = 100, /* of one answer */
};

/*
 * Read one answer; *action is replaced by its first action, without white space
 * around it. Otherwise the connection is of no more use. Waits.
 */
enum result policy_reply_read(struct stream *st, int64_t deadline,
    struct buf *action, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* *why from the status of the connection to a policy server, not STREAM_OK. */
enum result policy_reply_failed(enum stream_status status, struct why *why)
    ATTR_NONNULL;
