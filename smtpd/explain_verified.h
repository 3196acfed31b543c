/*
 * explain_verified - what the running system knows of an address, for "postern
 * explain session": asked at public/verify, told on standard output.
 */
#pragma once

#include "lib/config/config.h"
#include "smtpd/session.h"

/* For the session's ask_verified, after explain_verified_begin(). Waits. */
bool explain_verified(const struct session *s, const struct verify_question *q,
    struct buf *text, struct verify_answer *a) ATTR_NONNULL ATTR_MUST_USE;

/* Connect, if there is something to connect to, as the user that may. */
void explain_verified_begin(const struct config *config) ATTR_NONNULL;
void explain_verified_end(void);
