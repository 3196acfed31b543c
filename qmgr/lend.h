/*
 * lend - the files that submitters write large bodies into.
 *
 * Each peer has some at a time; what it neither submits nor gives back is ours
 * again when it is gone.
 */
#pragma once

#include "qmgr/core.h"

enum {
    LENT_MAX = 2000, /* to one peer */
    LENT_ALL_MAX = 16 * LENT_MAX,
};

struct lent;

/* Lend a file; the request is answered with BLOB. owner is the peer. */
void lend_blob(struct qmgr *q, void *request, const void *owner) ATTR_NONNULL;
void lend_return(struct qmgr *q, uint64_t number, const void *owner)
    ATTR_NONNULL;

/* The peer is gone: what it borrowed is ours again. */
void lend_owner_gone(struct qmgr *q, const void *owner) ATTR_NONNULL;

bool lend_has(struct qmgr *q, uint64_t number, const void *owner) ATTR_NONNULL;

/* What lend_has(): it was submitted, and is the caller's. */
struct lent *lend_take(struct qmgr *q, uint64_t number, const void *owner)
    ATTR_NONNULL ATTR_MUST_USE;
int lend_fd(const struct lent *l) ATTR_NONNULL;
void lend_free(struct qmgr *q, struct lent *l) __attribute__((nonnull(1)));

/* Of what was kept, and belongs to no message any more. */
void lend_drop(struct qmgr *q, uint64_t blob) ATTR_NONNULL;

void lend_init(struct qmgr *q) ATTR_NONNULL;
void lend_fini(struct qmgr *q) ATTR_NONNULL;
