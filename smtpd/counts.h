/*
 * counts - limits on what a client, a user or a sender may do in a time:
 * smtpd_client_*_limit, smtpd_login_*_limit, smtpd_sender_*_limit.
 *
 * lookup counts for all smtpd processes (lib/mail/count.h). Clients of
 * smtpd_client_event_limit_exceptions are not counted. Where nobody counts,
 * there are no limits.
 */
#pragma once

#include "lib/base/attr.h"
#include "smtpd/refusal.h"

#include <stdbool.h>

struct session;

/* A new session. False: too many; *no is the reply, and it was logged. Waits. */
bool counts_connect(struct session *s, struct refusal *no) ATTR_NONNULL;
void counts_disconnect(struct session *s) ATTR_NONNULL;

/* The process that counted is a new one. */
void counts_again(struct session *s) ATTR_NONNULL;

/* MAIL, RCPT and AUTH, before anything else is asked. Wait. */
bool counts_mail(struct session *s, struct refusal *no) ATTR_NONNULL;
bool counts_rcpt(struct session *s, struct refusal *no) ATTR_NONNULL;
bool counts_auth(struct session *s, struct refusal *no) ATTR_NONNULL;
