/*
 * session - one SMTP client, from connect to disconnect: what is known of it, and
 * of its message. What is said is in smtpd/dialogue.
 *
 * A session belongs to one fiber. Its struct and what an idle client needs is
 * small: texts of a transaction live in the transaction's arena, which is empty
 * between transactions.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/base/slice.h"
#include "lib/dns/dns.h"
#include "lib/io/fiber.h"
#include "lib/io/sock.h"
#include "lib/io/stream.h"
#include "lib/mail/cleanup.h"
#include "lib/mail/envelope.h"
#include "lib/mail/mime_convert.h"
#include "lib/mail/queue_id.h"
#include "lib/mail/verification.h"
#include "smtpd/command.h"
#include "smtpd/profile.h"
#include "smtpd/refusal.h"
#include "smtpd/unstuff.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    /*
     * Envelope, parameters and what clean-up keeps of one message: so much, and
     * so much for each recipient that smtpd_recipient_limit allows (a list takes
     * 250 octets for each). And of all messages in a process.
     */
    TRANSACTION_MAX = 24 * 1024 * 1024,
    TRANSACTION_RCPT = 512,
    TRANSACTIONS_MAX = 1024 * 1024 * 1024,
    /* A name of a host; longer ones are cut (RFC 1035 section 2.3.4). */
    HELO_MAX = 512,
    /*
     * How long a client is kept waiting for a queue manager that has to be
     * started anew. RFC 5321 section 4.5.3.2 has clients wait 5 minutes after
     * RCPT and 10 after the final dot.
     */
    LEASE_WAIT_MS = 30 * 1000,
    SUBMIT_WAIT_MS = 120 * 1000,
};

/* Who connected. */
struct client {
    char *name;         /* verified, or "unknown" */
    char *reverse_name; /* unverified, or "unknown"; NULL: the same as name */
    enum client_name_status name_status, reverse_status;
    char addr[SOCK_TEXT_MAX];
    uint16_t port;
    /* Where it connected to; empty: not known, and not asked for. */
    char dest_addr[SOCK_TEXT_MAX];
    uint16_t dest_port;
    char *text; /* "name[addr]", with ":port" if smtpd_client_port_logging */
};

/* Who logged in. NULL: nobody. */
struct login {
    char *user;
    char *method;
    char *sender; /* AUTH= of MAIL */
};

/* What TLS says of the client. */
struct client_tls {
    bool on;
    bool trusted;            /* its certificate was verified */
    const char *fingerprint; /* of the certificate; NULL: there is none */
    const char *key_fingerprint;
};

struct session_text {
    struct session_text *next;
    struct slice text;
};

/* What access tables ask for; texts are the transaction's. */
struct actions {
    bool hold, discard;
    struct slice filter, redirect;
    struct session_text *bcc, *prepend;
};

/* XFORWARD: where a filter got the message from. Texts as in actions. */
struct forwarded {
    bool given, local;
    struct slice name, addr, port, proto, helo, ident;
};

/* From MAIL to the end of data; actions from before it on. */
struct transaction {
    struct arena arena;
    bool open; /* there was a MAIL */
    struct actions actions;
    struct forwarded forwarded;
    struct envelope envelope;      /* sender empty: "<>" */
    struct slice sender_rewritten; /* in standard form, for checks */
    bool utf8;                     /* SMTPUTF8 */
    unsigned excess;         /* recipients refused for smtpd_recipient_limit */
    struct cleanup *cleanup; /* reading the content */
    uint64_t octets;         /* of content so far */
    uint64_t instance;       /* its number for policy servers; 0: none yet */
    enum {
        CHUNKS_NONE,
        CHUNKS_OPEN,   /* BDAT, without LAST yet */
        CHUNKS_FAILED, /* refused: what follows is dropped */
    } chunks;
    uint64_t chunked;     /* octets of chunks, as the client counts them */
    struct unstuff lines; /* of chunks: a line may go on in the next one */
    bool binary;          /* BODY=BINARYMIME: */
    struct mime_convert *converter; /* in front of lines; else NULL */
};

struct check;
struct evaluation;

struct session {
    struct list node; /* of smtpd/sessions */
    struct fiber *fiber;
    struct stream *client;
    const struct profile *profile;
    const struct config *config; /* of the profile */
    struct config_set *set;      /* held by lib/daemon while we serve */
    struct client peer;

    char *helo;         /* NULL: none yet */
    bool esmtp;         /* EHLO */
    bool own_client;    /* local_header_rewrite_clients */
    bool trusted_lines; /* smtpd_forbid_bare_newline_exclusions */
    bool denied;        /* smtpd_client_restrictions refused, at connect */
    bool idle;          /* waiting for a command: may be ended by a drain */
    bool extra;  /* its slot is kept for who is known: lib/daemon/slots.h */
    bool unseen; /* a proxy's health check: not in the log while it is silent */
    bool hangup; /* 421 or 521 was said: the session is over */

    struct login login;
    struct client_tls tls;
    char *count_key; /* what lookup counts this client by; NULL: it does not */
    bool may_xclient, may_xforward;
    unsigned discarded; /* EHLO keywords, set of enum keyword_bit */
    bool talked_ahead;  /* sent more than RFC 2920 allows */
    unsigned in_a_row;  /* commands that came along with one before */

    struct transaction mail;
    struct slice recipient; /* of the command at hand: for checks and log */
    struct slice recipient_rewritten;
    bool no_recipient; /* the log names none */
    struct slice etrn; /* the argument of the command at hand */

    /* Told of each restriction that was asked; NULL: nobody wants to know. */
    void (*trace)(const struct evaluation *e, const struct check *c,
        enum verdict verdict);
    /* Who says what is known of an address, and no probe goes; NULL: lookup. */
    bool (*ask_verified)(const struct session *s,
        const struct verify_question *q, struct buf *text,
        struct verify_answer *a);
    /* Tests after the greeting that are under way; NULL: none. */
    struct screening *screening;
    struct answers *answers; /* of DNS lists; NULL: none yet */
    /* By stage: what is refused at RCPT unless something else refuses. */
    struct refusal *put_off[STAGE_SENDER + 1];

    const char
        *where; /* "CONNECT", "RCPT", ...: the last command, for the log */
    int64_t errors, junk;
    uint32_t counts[VERB_COUNT], goods[VERB_COUNT];
};

/*
 * For the client as it is known now: what it may do, and the greeting. At the
 * start, and after XCLIENT, which leaves those rights alone. Waits.
 */
void session_begin(struct session *s) ATTR_NONNULL;

/* May it use XCLIENT and XFORWARD? Asked of who connected, once. */
void session_note_rights(struct session *s) ATTR_NONNULL;

/* From now on it is in the log, if it was not yet. */
void session_show(struct session *s) ATTR_NONNULL;

/* Give back all that belongs to it but its connection. */
void session_forget(struct session *s) ATTR_NONNULL;

/* A name for HELO that may stand in Received: and logs; owned by the caller. */
char *helo_clean(const struct session *s, struct slice name)
    ATTR_NONNULL ATTR_MUST_USE;

/* What parameters of MAIL and RCPT may be used: set of enum esmtp_feature. */
unsigned session_features(const struct session *s) ATTR_NONNULL;

/* strict_smtputf8: UTF-8 in an address only where SMTPUTF8 was said. */
bool session_allows_address(const struct session *s, struct slice address,
    struct refusal *no) ATTR_NONNULL;

/* The transaction gets its queue id, and the log a line that says for whom. */
bool session_open_message(struct session *s, struct refusal *no) ATTR_NONNULL;

/* Forget the transaction: RSET, HELO, the end of data, the end. */
void session_reset(struct session *s) ATTR_NONNULL;

/* "ESMTP" or "SMTP", as Received: and the log name it. */
const char *session_protocol(const struct session *s) ATTR_NONNULL;

/* The queue id once there is one, else "NOQUEUE". */
const char *session_queue_id(const struct session *s, char text[QUEUE_ID_SIZE])
    ATTR_NONNULL;

/* The name of the client's address, not verified; "unknown". */
const char *session_reverse_name(const struct session *s) ATTR_NONNULL;

/*
 * A line of the log about the command at hand: "NOQUEUE: verb: RCPT from c:
 * text; from=<a> ...".
 */
void session_log_access(const struct session *s, const char *verb,
    const char *text) ATTR_NONNULL;

/*
 * Log a refusal in Postfix's words: "NOQUEUE: reject: RCPT from c: 554 5.7.1
 * text; from=<a> to=<b> proto=ESMTP helo=<h>". verb is "reject" or
 * "reject_warning".
 */
void session_log_refusal(const struct session *s, const char *verb,
    const struct refusal *no) ATTR_NONNULL;
