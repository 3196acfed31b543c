/*
 * session - one connection to an SMTP or LMTP server: connect, greeting, EHLO,
 * what it offers, QUIT. Transactions on it are in transaction.h, waiting for
 * the next one in idle.h.
 *
 * A session belongs to the fiber that uses it, or to the list of idle ones.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/config/config.h"
#include "lib/io/fiber.h"
#include "lib/io/stream.h"
#include "smtp/excuse.h"
#include "smtp/reply.h"
#include "smtp/target.h"

#include <stdbool.h>
#include <stdint.h>

enum session_feature {
    SESSION_ESMTP = 1 << 0,
    SESSION_PIPELINING = 1 << 1,
    SESSION_SIZE = 1 << 2,
    SESSION_8BITMIME = 1 << 3,
    SESSION_DSN = 1 << 4,
    SESSION_SMTPUTF8 = 1 << 5,
};

/* Of the service whose mail it carries. */
struct profile {
    struct config_set *set; /* held by who holds the profile */
    const struct config *config;
    const char *service; /* its name in master.cf */
    const char *tag;     /* of log lines */
    bool lmtp;
};

enum { SESSION_NAME_MAX = 400 };

struct idle;

struct session {
    struct stream *stream;
    struct profile profile; /* holds its set */
    struct sock_addr addr;
    char host[256];               /* name of the server: RFC 3464 Remote-MTA */
    char name[SESSION_NAME_MAX];  /* "mx.example[192.0.2.1]": in texts */
    char relay[SESSION_NAME_MAX]; /* the same with ":25": in the log */
    unsigned features;            /* set of enum session_feature */
    uint64_t size_limit;          /* octets, 0: none known */
    struct reply reply;           /* the last one */
    unsigned uses;                /* transactions begun */
    int64_t opened_ms;
    bool dead;       /* lost, out of step, or told to go: no QUIT, no reuse */
    bool closing;    /* the server said 421 */
    bool needs_rset; /* a transaction was begun and not ended */
    /* idle.c */
    struct idle *idle;
    struct map_node by_destination, by_address;
    struct slice destination; /* nexthop as in the request; owned */
    struct list node;
    struct fiber_timer timer;
};

/*
 * Connect to a target. NULL: *excuse says why; another one may be tried. The
 * session holds the profile's set. Waits.
 */
struct session *session_connect(const struct profile *profile,
    const struct target *target, struct excuse *excuse)
    ATTR_NONNULL ATTR_MUST_USE;

enum session_greeted {
    GREETED_OK,
    GREETED_FAILED,  /* lost, timed out, no SMTP: the session is dead */
    GREETED_REFUSED, /* the server does not want us: *excuse has its words */
};

/*
 * Read the greeting and say EHLO (HELO, LHLO). loop_name is our own name when
 * a server that answers with it means a loop, else NULL: mail is returned then
 * when the server is a best exchanger, and deferred otherwise. Waits.
 */
enum session_greeted session_greet(struct session *s, const char *loop_name,
    bool best, struct slice nexthop, struct excuse *excuse)
    __attribute__((nonnull(1, 5))) ATTR_MUST_USE;

/*
 * Read the next reply. False: the session is dead and *excuse has Postfix's
 * words, "lost connection with ... while STAGE". Waits.
 */
bool session_reply(struct session *s, int64_t timeout_ms, const char *stage,
    struct excuse *excuse) ATTR_NONNULL ATTR_MUST_USE;

/* Send what is buffered; the rest as session_reply(). Waits. */
bool session_flush(struct session *s, int64_t timeout_ms, const char *stage,
    struct excuse *excuse) ATTR_NONNULL ATTR_MUST_USE;

/* Takes over the text, which mem_free() frees. */
void session_set_destination(struct session *s, struct slice destination)
    ATTR_NONNULL;

/* Say QUIT unless it is dead, and free. NULL is welcome. Waits. */
void session_quit(struct session *s);

/* Close without a word, and free. NULL is welcome. */
void session_free(struct session *s);
