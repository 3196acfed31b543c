/*
 * content - the content of a message, however it comes (DATA, BDAT), and the
 * moment when it becomes ours.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/io/stream.h"
#include "smtpd/command.h"
#include "smtpd/refusal.h"
#include "smtpd/unstuff.h"

#include <stdbool.h>
#include <stdint.h>

struct session;

/* Clean-up begins, with our Received: and what tables put on top. */
bool content_begin(struct session *s, struct refusal *no) ATTR_NONNULL;

/* Lines with CRLF, dots taken off; what is too much is counted only. Waits. */
void content_take(struct session *s, struct slice run) ATTR_NONNULL;

/* smtpd_forbid_bare_newline: may there be what u has seen? Logs. */
bool content_allow_lines(struct session *s, const struct unstuff *u,
    struct refusal *no) ATTR_NONNULL;

/*
 * The client has sent it all: the last restrictions, then the reply, of which
 * the 250 makes it ours. said stands in it: "", or "12 bytes ". Waits.
 */
enum command_result content_end(struct session *s, const struct unstuff *u,
    const char *said) ATTR_NONNULL;

/* What becomes of a command whose content ended so. */
enum command_result content_result(enum stream_status status);

/*
 * How slowly a client may send: smtpd_timeout for each piece or, with
 * smtpd_per_request_deadline, for the whole, to which each octet adds what it
 * may take by smtpd_min_data_rate.
 */
struct pace {
    int64_t left_ms;
};

void pace_begin(const struct session *s, struct pace *p) ATTR_NONNULL;
/* stream_peek() in that time; replies are flushed first. Waits. */
enum stream_status pace_peek(const struct session *s, struct pace *p,
    struct slice *in) ATTR_NONNULL ATTR_MUST_USE;
void pace_took(const struct session *s, struct pace *p, size_t octets)
    ATTR_NONNULL;
