/*
 * access - which restriction lists are asked at which command.
 *
 * With smtpd_delay_reject (the default) those of client, helo and sender are
 * asked at RCPT, so that the log says who wanted to send what to whom.
 *
 * Each returns true, or false with the refusal, which has been logged. All
 * wait.
 */
#pragma once

#include "lib/base/attr.h"
#include "smtpd/refusal.h"

#include <stdbool.h>

struct session;

bool access_client(struct session *s, struct refusal *no) ATTR_NONNULL;
bool access_helo(struct session *s, struct refusal *no) ATTR_NONNULL;
bool access_sender(struct session *s, struct refusal *no) ATTR_NONNULL;
bool access_recipient(struct session *s, struct refusal *no) ATTR_NONNULL;
/* All lists up to RCPT, with and without smtpd_delay_reject. */
bool access_for_rcpt(struct session *s, struct refusal *no) ATTR_NONNULL;
bool access_data(struct session *s, struct refusal *no) ATTR_NONNULL;
bool access_end_of_data(struct session *s, struct refusal *no) ATTR_NONNULL;

/* May VRFY tell whether there is such an address? */
bool access_verify(struct session *s, struct refusal *no) ATTR_NONNULL;

/* May it have the queue of s->etrn flushed? */
bool access_etrn(struct session *s, struct refusal *no) ATTR_NONNULL;

/* Does local_header_rewrite_clients name this client? */
bool access_rewrites_headers(struct session *s) ATTR_NONNULL;
