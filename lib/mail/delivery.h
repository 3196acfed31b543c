/*
 * delivery - one attempt at some recipients of a message: what qmgr asks of an
 * agent, and what the agent answers.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/ipc/link.h"
#include "lib/mail/envelope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The token of an attempt: what settles without it, or twice, is refused. */
struct attempt {
    uint64_t id;     /* queue id */
    uint64_t nonce;  /* random */
    uint32_t number; /* of this message's attempts, from 1 */
};

struct delivery_recipient {
    uint32_t index;        /* of the recipient in its message */
    struct recipient rcpt; /* rcpt.address: after resolving */
};

/* The most time that local gives itself for one of these. */
enum { DELIVERY_LOCAL_MS = 1000 * 1000 };

struct delivery {
    struct attempt attempt;
    uint64_t proof;           /* lib/mail/late: that we were given it */
    struct slice transport;   /* service name in master.cf */
    struct slice nexthop;     /* "example.com", "[192.0.2.1]:25", "" */
    struct envelope envelope; /* without its recipients */
    struct slice header;      /* as submitted */
    struct slice body;        /* inline; or in fd */
    int fd;                   /* -1: inline. Read-only, from offset 0 */
    uint64_t body_length;
    uint32_t body_crc;   /* crc32c of what fd holds; check as you read */
    int64_t active_us;   /* wall: when qmgr made it active: delays= b */
    uint32_t may_return; /* 1: OUTCOME_RETURNED is welcome */
    struct delivery_recipient *recipients;
    size_t recipient_count;
};

enum outcome {
    OUTCOME_SENT = 1,
    OUTCOME_DEFERRED,
    OUTCOME_BOUNCED,
    OUTCOME_EXPANDED, /* settled by a transaction of the agent's own */
    OUTCOME_RETURNED, /* untried, the remote takes no more sessions: qmgr finds
                         another turn for it. Where delivery.may_return */
};

/* What "sent" means to the sender: RFC 3464 section 2.3.3. */
enum dsn_action {
    DSN_DELIVERED, /* to a mailbox, or where nobody tells more of it */
    DSN_RELAYED,
    DSN_EXPANDED,
};

/* What became of one recipient. Texts are of fixed size: they go to disk. */
struct rcpt_result {
    uint32_t index;
    enum outcome outcome;
    char status[10];     /* "2.0.0" */
    struct slice text;   /* for the log, mailq and notices; <= 2000 octets */
    struct slice relay;  /* "mx.example.com[192.0.2.1]:25" or empty */
    struct slice remote; /* RFC 3464 Remote-MTA name, or empty */
    struct slice diagnostic;      /* the remote's reply, or empty */
    struct slice diagnostic_type; /* "smtp", "x-unix", ... */
    struct slice final_address;   /* where it went, if not rcpt.address */
    int64_t when_us;
    enum dsn_action action; /* of OUTCOME_SENT */
    uint32_t
        next_hop_tells; /* 1: it knows DSN, so a notice of success is its */
    bool softened;      /* not sent: see rcpt_result_soften() */
};

/*
 * soft_bounce = yes: what would go back to the sender is kept in the queue
 * instead. Of all agents, before they log.
 */
void rcpt_result_soften(struct rcpt_result *r) ATTR_NONNULL;

/*
 * The destination itself: what qmgr's feedback and back-off go by. An answer
 * carries one.
 */
enum destination_state {
    DESTINATION_OK,
    DESTINATION_DEAD, /* could not be reached or refused the session */
    DESTINATION_BUSY, /* 421 or "too many connections": less, but alive */
};

struct delivery_answer {
    struct attempt attempt;
    enum destination_state destination;
    char destination_status[10];
    struct slice destination_text; /* why it is not DESTINATION_OK */
    uint32_t idle_sessions;        /* kept open towards this destination */
    const struct rcpt_result *results;
    size_t count;
};

/* Takes over d->fd into the message. */
void delivery_encode(struct delivery *d, struct msg *m) ATTR_NONNULL;

/* Texts borrow from in; d->fd is taken out of in. */
enum result delivery_decode(struct msg_in *in, struct arena *arena,
    struct delivery *d, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

void delivery_answer_encode(const struct delivery_answer *a, struct msg *m)
    ATTR_NONNULL;
enum result delivery_answer_decode(struct slice in, struct arena *arena,
    struct delivery_answer *a, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

void attempt_encode(const struct attempt *a, uint32_t tag, struct buf *to)
    ATTR_NONNULL;
enum result attempt_decode(struct slice value, struct attempt *a,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* One result as a group of attributes, on links and on disk. */
void rcpt_result_encode(const struct rcpt_result *r, uint32_t tag,
    struct buf *to) ATTR_NONNULL;
enum result rcpt_result_decode(struct slice value, struct rcpt_result *r,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Room for all the results that in has, at most that many. */
enum result rcpt_results_room(struct slice in, size_t most, struct arena *arena,
    struct rcpt_result **results, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * A probe: agents find out what would become of the recipients, and deliver
 * nothing. OUTCOME_SENT means deliverable then.
 */
static inline bool
envelope_is_probe(const struct envelope *env)
{
    return (env->flags & ENVELOPE_VERIFY) != 0;
}
