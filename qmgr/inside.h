/*
 * inside - deliveries that need no process: the error, retry and discard
 * transports, and what is put off for a reason of our own.
 *
 * Each recipient gets its log line under the tag of the Postfix program that
 * would have done it.
 */
#pragma once

#include "qmgr/mail.h"
#include "qmgr/transport.h"

/* t is TRANSPORT_ERROR, TRANSPORT_RETRY or TRANSPORT_DISCARD. */
void inside_deliver(struct qmgr *q, const struct transport *t,
    struct slice nexthop, struct rcpt *r) ATTR_NONNULL;

/* r, under nobody's hands, is deferred or fails. */
void refuse_rcpt(struct qmgr *q, struct rcpt *r, const char *status,
    const char *text) ATTR_NONNULL;
/* The same for a probe, of whose address that says nothing. */
void refuse_probe(struct qmgr *q, struct rcpt *r, const char *status,
    const char *text) ATTR_NONNULL;
void fail_rcpt(struct qmgr *q, struct rcpt *r, const char *status,
    const char *text) ATTR_NONNULL;

/* r's mail is of no use to anybody: done as if delivered. */
void absorb_rcpt(struct qmgr *q, struct rcpt *r, const char *text) ATTR_NONNULL;
