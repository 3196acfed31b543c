/*
 * transaction - one message over one session: MAIL, RCPT for each open
 * recipient, DATA, content, final dot.
 *
 * With PIPELINING the commands go out in groups (RFC 2920) that are small
 * enough for the server never to block on its replies; MAIL, RCPT and DATA of
 * an ordinary message are one write, its content and final dot the next.
 */
#pragma once

#include "smtp/job.h"
#include "smtp/session.h"

enum transaction_end {
    TRANSACTION_DONE,  /* every recipient that could be settled here is */
    TRANSACTION_STALE, /* a reused session was dead already: nothing happened,
                          try again with a fresh one */
};

/*
 * Afterwards recipients are settled or open; session->dead and ->closing tell
 * whether the session may be used again. Waits.
 */
enum transaction_end transaction_run(struct job *job, struct session *session)
    ATTR_NONNULL ATTR_MUST_USE;
