/*
 * notice - qmgr asks bounce to tell a sender what became of recipients.
 *
 * bounce answers by submitting a transaction that holds the notice and settles
 * the recipients named, except those that stay, or the notice alone (delay), and
 * then NOTIFIED. Where no notice is due (null sender with nobody to tell,
 * NOTIFY=NEVER) the transaction only settles.
 */
#pragma once

#include "lib/mail/delivery.h"
#include "lib/mail/envelope.h"

/* The most time that bounce gives itself for one. */
enum { NOTICE_TIME_MS = 300 * 1000 };

enum notice_kind {
    NOTICE_FAILURE,
    NOTICE_DELAY,
    NOTICE_SUCCESS,
    NOTICE_VERIFY,  /* sendmail -bv and -v: a delivery report */
    NOTICE_REQUEUE, /* no notice: the message itself, once more (postsuper -r) */
};

struct notice_recipient {
    uint32_t index;
    struct recipient rcpt;
    struct rcpt_result result;
    uint32_t stays; /* 1: he is told of, and not settled by it */
};

struct notice {
    enum notice_kind kind;
    struct attempt attempt;   /* all but NOTICE_DELAY: settles under it */
    struct envelope envelope; /* without its recipients */
    struct slice header;
    struct slice body; /* inline; or in fd */
    int fd;            /* -1: inline. Read-only, from offset 0 */
    uint64_t body_length;
    uint32_t body_crc;
    uint32_t is_damaged; /* 1: header and body are what is left of them */
    int64_t will_retry_until_us; /* NOTICE_DELAY */
    struct notice_recipient *recipients;
    size_t recipient_count;
};

/* Takes over n->fd into the message. */
void notice_encode(struct notice *n, struct msg *m) ATTR_NONNULL;
enum result notice_decode(struct msg_in *in, struct arena *arena,
    struct notice *n, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
