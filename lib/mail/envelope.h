/*
 * envelope - what is known of a message apart from its content, as clean-up
 * left it: it is final when it reaches qmgr.
 *
 * Addresses are in internal form: local part without quotes, '@', domain;
 * mail/address.h turns them into the external form of SMTP and headers. The
 * null sender is the empty address.
 *
 * The same octets (attributes of lib/base/tlv) stand on links and on disk, so
 * tags are never used again for something else.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stddef.h>
#include <stdint.h>

/* RFC 3461 section 4.1; 0: not given, which means FAILURE and DELAY. */
enum dsn_notify {
    NOTIFY_NEVER = 1,
    NOTIFY_SUCCESS = 2,
    NOTIFY_FAILURE = 4,
    NOTIFY_DELAY = 8,
};

enum dsn_ret { RET_UNSET, RET_FULL, RET_HDRS };

enum envelope_flag {
    ENVELOPE_HOLD = 1 << 0,       /* enters the queue on hold */
    ENVELOPE_8BIT = 1 << 1,       /* BODY=8BITMIME, or 8-bit octets seen */
    ENVELOPE_UTF8 = 1 << 2,       /* SMTPUTF8 asked for */
    ENVELOPE_LOCAL = 1 << 3,      /* from sendmail(1), not over the network */
    ENVELOPE_INTERNAL = 1 << 4,   /* made by us: bounces, forwards */
    ENVELOPE_NO_MAPPING = 1 << 5, /* receive_override_options */
    ENVELOPE_NO_MILTERS = 1 << 6,
    ENVELOPE_NO_CHECKS = 1 << 7,
    ENVELOPE_TRACE = 1 << 8,  /* sendmail -v: report every delivery */
    ENVELOPE_VERIFY = 1 << 9, /* sendmail -bv: probe, do not deliver */
    ENVELOPE_NO_BOUNCE_CONTENT = 1 << 10,
    ENVELOPE_PROBE = 1 << 11, /* with VERIFY, by smtpd: nobody gets a report */
};

struct recipient {
    struct slice address;  /* where it goes */
    struct slice original; /* as the client gave it; empty: the same */
    struct slice orcpt;    /* DSN ORCPT "rfc822;a@b", decoded; may be empty */
    uint32_t notify;       /* set of enum dsn_notify */
    /*
     * 1: an alias that others of the message came from. Nobody delivers to it:
     * it is here because the sender is to be told of it (NOTIFY=SUCCESS).
     */
    uint32_t expanded;
};

static inline struct slice
recipient_original(const struct recipient *r)
{
    return r->original.len > 0 ? r->original : r->address;
}

/* NOTIFY of those who take an alias' place: he has been told of its success. */
static inline uint32_t
notify_of_expanded(uint32_t notify)
{
    return notify == NOTIFY_SUCCESS ? NOTIFY_NEVER
                                    : notify & ~(uint32_t)NOTIFY_SUCCESS;
}

struct envelope {
    uint64_t id;
    int64_t arrival_us; /* wall clock, first octet of the message */
    uint64_t size;      /* octets of header, empty line and body */
    uint32_t flags;     /* set of enum envelope_flag */
    uint32_t hops;      /* Received: lines */
    struct slice sender;
    struct slice sender_name; /* full name, sendmail -F */
    struct slice envid;       /* DSN ENVID, decoded */
    enum dsn_ret ret;
    struct slice filter;      /* content filter "transport:nexthop" */
    struct slice message_id;  /* "<...>" for log and notices */
    struct slice client_name; /* for XFORWARD, pipe(8) macros, filters */
    struct slice client_addr;
    struct slice client_port;
    struct slice helo;
    struct slice protocol; /* "SMTP", "ESMTP" */
    struct slice sasl_user;
    struct slice drop_file; /* name in maildrop/: accepted once only */
    struct slice rewrite;   /* "local" or "remote" header rewriting */
    struct recipient *recipients;
    size_t recipient_count;
    size_t recipient_room; /* of the array, see envelope_add_recipient() */
};

/*
 * Copies r's texts into arena. RESULT_TEMPFAIL 4.3.1 when the arena's ceiling
 * is met.
 */
enum result envelope_add_recipient(struct envelope *env, struct arena *arena,
    const struct recipient *r, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* The same with texts that live as long as arena already. */
enum result envelope_take_recipient(struct envelope *env, struct arena *arena,
    const struct recipient *r, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* An original that is the same as the address is left out. */
void envelope_encode(const struct envelope *env, struct buf *to) ATTR_NONNULL;

/* One attribute, without the recipients: what agents and bounce are told. */
void envelope_put(const struct envelope *env, uint32_t tag, struct buf *to)
    ATTR_NONNULL;

/* One recipient as one attribute, and back; the texts borrow from value. */
void recipient_put(const struct recipient *r, uint32_t tag, struct buf *to)
    ATTR_NONNULL;
bool recipient_take(struct slice value, struct recipient *r)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * The texts borrow from in, the array of recipients is in arena. A malformed or
 * over-long value is RESULT_PERMFAIL.
 */
enum result envelope_decode(struct slice in, struct arena *arena,
    struct envelope *env, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The same for those who read the recipients of a list one at a time: more than
 * `most` are checked and counted, and there is no array of them.
 */
enum result envelope_decode_most(struct slice in, size_t most,
    struct arena *arena, struct envelope *env, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * How many recipients there are; *rest is the part of in that begins with the
 * first of them.
 */
size_t envelope_count_recipients(struct slice in, struct slice *rest)
    ATTR_NONNULL;

/* As many of the recipients that rest begins with as fit into so many octets. */
struct slice envelope_some_recipients(struct slice rest, size_t octets);

/*
 * One recipient at a time, without an array: recipients can be read back in
 * parts. *rest starts as the encoded envelope; false at the end.
 */
bool envelope_next_recipient(struct slice *rest, struct recipient *r)
    ATTR_NONNULL;
