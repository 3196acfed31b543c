/*
 * resolve - asks lookup where each recipient goes, and remembers the answers
 * for some seconds.
 *
 * Recipients that ask the same share one question. While no lookup process is
 * there the questions wait; a slow table delays those that it is asked for and
 * nobody else.
 */
#pragma once

#include "qmgr/mail.h"

struct route;

/* r, PENDING, gets where its route leads. */
void resolve_rcpt(struct qmgr *q, struct rcpt *r) ATTR_NONNULL;

/*
 * The answer to a question that outside was given. lost: there will be none,
 * ask again. route is only read when res is RESULT_OK, why otherwise.
 */
void resolve_answered(struct qmgr *q, struct question *question,
    enum result res, const struct route *route, const struct why *why)
    __attribute__((nonnull(1, 2)));
void resolve_lost(struct qmgr *q, struct question *question) ATTR_NONNULL;

/* A lookup process is there. */
void resolve_retry(struct qmgr *q) ATTR_NONNULL;

/* The configuration changed: what is remembered is of no use. */
void resolve_configure(struct qmgr *q) ATTR_NONNULL;
void resolve_fini(struct qmgr *q) ATTR_NONNULL;
