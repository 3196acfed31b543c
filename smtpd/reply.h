/*
 * reply - what the server says, gathered until the client has to be waited for.
 */
#pragma once

#include "lib/base/attr.h"
#include "smtpd/refusal.h"

struct session;

/*
 * One line: the code, then the text, which begins with the enhanced status code
 * (RFC 2034) where the reply has one. Waits when the client has made too many
 * errors (smtpd_error_sleep_time).
 */
void reply(struct session *s, int code, const char *fmt, ...) ATTR_PRINTF(3, 4);

/* A line that is followed by others of the same reply: "250-SIZE". */
void reply_more(struct session *s, int code, const char *fmt, ...)
    ATTR_PRINTF(3, 4);

void reply_refusal(struct session *s, const struct refusal *no) ATTR_NONNULL;

/* With soft_bounce 5xx and 5.x.x become 4xx and 4.x.x. Both may be NULL. */
void reply_soften(const struct session *s, int *code, char *status)
    __attribute__((nonnull(1)));
