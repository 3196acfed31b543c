/*
 * dialogue - the conversation with an SMTP client: commands in, one after the
 * other, up to the word that ends it.
 */
#pragma once

#include "smtpd/session.h"

enum session_end {
    SESSION_QUIT,
    SESSION_CLIENT_LEFT,
    SESSION_TIMED_OUT,
    SESSION_DRAINED,
    SESSION_TOO_MANY_ERRORS,
    SESSION_REFUSED,  /* was told so, and that is all */
    SESSION_NOT_SMTP, /* an HTTP request, a spammer's header */
};

/* The whole conversation. Waits. */
enum session_end dialogue_run(struct session *s) ATTR_NONNULL;
