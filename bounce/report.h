/*
 * report - the text of a notice: multipart/report (RFC 6522) in three parts,
 * for people, for programs (RFC 3464), and the message or its header.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/config/config.h"
#include "lib/mail/notice.h"

/* Is this recipient told of, by NOTIFY and the kind of notice? */
bool report_wants(const struct notice *n, const struct notice_recipient *r)
    ATTR_NONNULL;

struct report {
    const struct config *config; /* of the bounce service */
    const struct notice *n;
    uint64_t id;     /* of the notice */
    struct slice to; /* who gets it, internal form */
    int64_t now_s;
    bool postmaster; /* to the postmaster, not to the sender */
};

/*
 * The message comes back whole, not only its header. A postmaster's copy has
 * the header; of a notice that failed itself he gets all. Never of what was
 * damaged on disk.
 */
bool report_returns_body(const struct report *r) ATTR_NONNULL;

/*
 * Header, the first two parts and the header of the third, up to where the
 * returned message begins; then what follows it. CRLF line ends.
 */
void report_begin(const struct report *r, struct buf *to) ATTR_NONNULL;
void report_end(const struct report *r, struct buf *to) ATTR_NONNULL;
