/*
 * protocol - who may say what to whom between postern's processes.
 *
 * A link joins two processes; master made it and told each end which role the
 * other has. MESSAGES is the whole of the protocol: for each message who may
 * send it, to whom, whether it asks for an answer, how large it may be and how
 * many descriptors it may carry. A link drops a peer that sends anything else.
 *
 * Frame, little-endian: u32 length of the body, u16 message type, u16 count of
 * descriptors, u32 request number (0 where no answer is asked for; an answer
 * repeats the number of its request); then the body: attributes as lib/base/tlv
 * has them, tags from enum attr. Descriptors travel with the frame's first
 * octet (SCM_RIGHTS).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum role {
    ROLE_MASTER,
    ROLE_SMTPD,
    ROLE_QMGR,
    ROLE_SMTP,
    ROLE_LOCAL,
    ROLE_BOUNCE,
    ROLE_LOOKUP,
    ROLE_SPAWN,
    ROLE_COMMAND, /* a user's command at a socket below public/ */
    ROLE_WORKER,  /* local's process that acts as one user */
    ROLE_COUNT,
};

/* Sets of roles, for the table below. */
#define ROLE_BIT(role) (1U << (role))
enum {
    FROM_MASTER = ROLE_BIT(ROLE_MASTER),
    FROM_SMTPD = ROLE_BIT(ROLE_SMTPD),
    FROM_QMGR = ROLE_BIT(ROLE_QMGR),
    FROM_BOUNCE = ROLE_BIT(ROLE_BOUNCE),
    FROM_LOOKUP = ROLE_BIT(ROLE_LOOKUP),
    FROM_COMMAND = ROLE_BIT(ROLE_COMMAND),
    FROM_LOCAL = ROLE_BIT(ROLE_LOCAL),
    FROM_WORKER = ROLE_BIT(ROLE_WORKER),
    /* those who hand messages to qmgr */
    FROM_SUBMITTERS = ROLE_BIT(ROLE_SMTPD) | ROLE_BIT(ROLE_LOCAL) |
        ROLE_BIT(ROLE_BOUNCE),
    FROM_AGENTS = ROLE_BIT(ROLE_SMTP) | ROLE_BIT(ROLE_LOCAL),
    FROM_DAEMONS = ROLE_BIT(ROLE_SMTPD) | ROLE_BIT(ROLE_QMGR) |
        ROLE_BIT(ROLE_SMTP) | ROLE_BIT(ROLE_LOCAL) | ROLE_BIT(ROLE_BOUNCE) |
        ROLE_BIT(ROLE_LOOKUP),
    /* those whom master starts: spawn speaks with nobody else */
    FROM_CHILDREN = FROM_DAEMONS | ROLE_BIT(ROLE_SPAWN),
};

enum message_kind {
    KIND_REQUEST, /* answered by exactly one message of the type named */
    KIND_STREAM,  /* answered by any number of ..._ITEM and then the answer */
    KIND_ONE_WAY,
    KIND_ANSWER,
    KIND_ITEM,
};

enum {
    MESSAGE_SMALL = 64 * 1024,
    MESSAGE_TABLE = 2 * 1024 * 1024,     /* a key, or a value */
    MESSAGE_ENVELOPE = 32 * 1024 * 1024, /* envelope, header, inline body */
};

/* name, from, to, kind, answer, most octets, most descriptors */
/* clang-format off */
#define MESSAGES(X)                                                            \
    /* master and its children: lib/daemon */                                  \
    X(CONFIGURE, FROM_MASTER, FROM_CHILDREN, KIND_REQUEST, CONFIGURED, MESSAGE_SMALL, 4)      \
    X(CONFIGURED, FROM_CHILDREN, FROM_MASTER, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)            \
    X(LINK, FROM_MASTER, FROM_CHILDREN, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 1)                 \
    X(LISTEN, FROM_MASTER, FROM_CHILDREN, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 1)               \
    X(UNLISTEN, FROM_MASTER, FROM_CHILDREN, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)             \
    X(READY, FROM_CHILDREN, FROM_MASTER, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)                \
    X(DRAIN, FROM_MASTER, FROM_CHILDREN, KIND_REQUEST, DRAINED, MESSAGE_SMALL, 0)             \
    X(DRAINED, FROM_CHILDREN, FROM_MASTER, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)               \
    X(WAKE, FROM_MASTER, FROM_CHILDREN, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)                 \
    X(REOPEN_LOG, FROM_MASTER, FROM_CHILDREN, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 1)           \
    X(DIED, FROM_MASTER, FROM_QMGR, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)                    \
    X(RESTART, FROM_QMGR, FROM_MASTER, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)                 \
    /* the postern command at pid/master.socket: cmd/postern, master/console */ \
    X(INSTANCE_STATUS, FROM_COMMAND, FROM_MASTER, KIND_REQUEST, INSTANCE_DONE, MESSAGE_SMALL, 0) \
    X(INSTANCE_RELOAD, FROM_COMMAND, FROM_MASTER, KIND_REQUEST, INSTANCE_DONE, MESSAGE_SMALL, 0) \
    X(INSTANCE_STOP, FROM_COMMAND, FROM_MASTER, KIND_REQUEST, INSTANCE_DONE, MESSAGE_SMALL, 0) \
    X(INSTANCE_ABORT, FROM_COMMAND, FROM_MASTER, KIND_REQUEST, INSTANCE_DONE, MESSAGE_SMALL, 0) \
    X(INSTANCE_REOPEN, FROM_COMMAND, FROM_MASTER, KIND_REQUEST, INSTANCE_DONE, MESSAGE_SMALL, 0) \
    X(INSTANCE_DONE, FROM_MASTER, FROM_COMMAND, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)         \
    /* into the queue: lib/mail/submission */                                  \
    X(LEASE, FROM_SUBMITTERS, FROM_QMGR, KIND_REQUEST, LEASED, MESSAGE_SMALL, 0)             \
    X(LEASED, FROM_QMGR, FROM_SUBMITTERS, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)               \
    X(BORROW_BLOB, FROM_SUBMITTERS, FROM_QMGR, KIND_REQUEST, BLOB, MESSAGE_SMALL, 0)         \
    X(BLOB, FROM_QMGR, FROM_SUBMITTERS, KIND_ANSWER, NONE, MESSAGE_SMALL, 1)                 \
    X(RETURN_BLOB, FROM_SUBMITTERS, FROM_QMGR, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)         \
    X(SUBMIT, FROM_SUBMITTERS, FROM_QMGR, KIND_REQUEST, SUBMITTED, MESSAGE_ENVELOPE, 0)      \
    X(SUBMITTED, FROM_QMGR, FROM_SUBMITTERS, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)            \
    X(PRESSURE, FROM_QMGR, FROM_SMTPD, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)                 \
    /* out of the queue: lib/mail/delivery, lib/mail/late, lib/mail/notice */  \
    X(DELIVER, FROM_QMGR, FROM_AGENTS, KIND_REQUEST, DELIVERED, MESSAGE_ENVELOPE, 1)         \
    X(DELIVERED, FROM_AGENTS, FROM_QMGR, KIND_ANSWER, NONE, MESSAGE_ENVELOPE, 0)             \
    X(LATE, FROM_AGENTS, FROM_QMGR, KIND_ONE_WAY, NONE, MESSAGE_ENVELOPE, 0)                 \
    X(LATE_DONE, FROM_AGENTS, FROM_QMGR, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)               \
    X(NOTIFY, FROM_QMGR, FROM_BOUNCE, KIND_REQUEST, NOTIFIED, MESSAGE_ENVELOPE, 1)           \
    X(NOTIFIED, FROM_BOUNCE, FROM_QMGR, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)                 \
    /* questions to lookup: lib/mail/route, lib/dns */                         \
    X(RESOLVE, FROM_DAEMONS, FROM_LOOKUP, KIND_REQUEST, RESOLVED, MESSAGE_SMALL, 0)          \
    X(RESOLVED, FROM_LOOKUP, FROM_DAEMONS, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)              \
    X(DNS_ASK, FROM_DAEMONS, FROM_LOOKUP, KIND_REQUEST, DNS_ANSWER, MESSAGE_SMALL, 0)        \
    X(DNS_ANSWER, FROM_LOOKUP, FROM_DAEMONS, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)            \
    X(HOST_ASK, FROM_DAEMONS, FROM_LOOKUP, KIND_REQUEST, HOST_ANSWER, MESSAGE_SMALL, 0)      \
    X(HOST_ANSWER, FROM_LOOKUP, FROM_DAEMONS, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)           \
    X(CLIENT_ASK, FROM_DAEMONS, FROM_LOOKUP, KIND_REQUEST, CLIENT_ANSWER, MESSAGE_SMALL, 0)  \
    X(CLIENT_ANSWER, FROM_LOOKUP, FROM_DAEMONS, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)         \
    /* what all remember together: lib/table/memo */                           \
    X(MEMO_ASK, FROM_SMTPD, FROM_LOOKUP, KIND_REQUEST, MEMO_ANSWER, MESSAGE_SMALL, 0)        \
    X(MEMO_ANSWER, FROM_LOOKUP, FROM_SMTPD, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)             \
    X(MEMO_KEEP, FROM_SMTPD, FROM_LOOKUP, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)              \
    /* which addresses take mail: lib/mail/verification */                     \
    X(VERIFY_ASK, FROM_SMTPD | FROM_COMMAND, FROM_LOOKUP, KIND_REQUEST, VERIFY_ANSWER, MESSAGE_SMALL, 0) \
    X(VERIFY_ANSWER, FROM_LOOKUP, FROM_SMTPD | FROM_COMMAND, KIND_ANSWER, NONE, MESSAGE_SMALL, 0) \
    X(VERIFY_FOUND, FROM_QMGR, FROM_LOOKUP, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)            \
    X(VERIFY_LOST, FROM_SMTPD | FROM_QMGR, FROM_LOOKUP, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)            \
    /* may a local user do this: lib/mail/user_access */                       \
    X(USER_ASK, FROM_QMGR, FROM_LOOKUP, KIND_REQUEST, USER_ANSWER, MESSAGE_SMALL, 0)         \
    X(USER_ANSWER, FROM_LOOKUP, FROM_QMGR, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)              \
    /* tables over the network: lib/table/asked, lookup/tables */              \
    X(TABLE_ASK, FROM_SUBMITTERS | FROM_AGENTS, FROM_LOOKUP, KIND_REQUEST, TABLE_ANSWER, MESSAGE_TABLE, 0) \
    X(TABLE_ANSWER, FROM_LOOKUP, FROM_SUBMITTERS | FROM_AGENTS, KIND_ANSWER, NONE, MESSAGE_TABLE, 0) \
    /* what that costs, at public/lookup: lib/table/cost, lookup/console */     \
    X(TABLE_COSTS, FROM_COMMAND, FROM_LOOKUP, KIND_REQUEST, TABLE_COSTS_TOLD, MESSAGE_SMALL, 0) \
    X(TABLE_COSTS_TOLD, FROM_LOOKUP, FROM_COMMAND, KIND_ANSWER, NONE, MESSAGE_TABLE, 0)      \
    /* counters of clients: lib/mail/count */                                  \
    X(TALLY, FROM_SMTPD, FROM_LOOKUP, KIND_REQUEST, TALLIED, MESSAGE_SMALL, 0)               \
    X(TALLIED, FROM_LOOKUP, FROM_SMTPD, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)                 \
    X(TALLY_TELL, FROM_SMTPD, FROM_LOOKUP, KIND_ONE_WAY, NONE, MESSAGE_SMALL, 0)             \
    /* local's brain and its workers: local/mailbox */                         \
    X(STORE, FROM_LOCAL, FROM_WORKER, KIND_REQUEST, STORED, MESSAGE_ENVELOPE, 1)             \
    X(STORED, FROM_WORKER, FROM_LOCAL, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)                  \
    /* commands at public/qmgr: cmd/, qmgr/console */                         \
    X(QUEUE_LIST, FROM_COMMAND, FROM_QMGR, KIND_STREAM, QUEUE_DONE, MESSAGE_SMALL, 0)        \
    X(QUEUE_ITEM, FROM_QMGR, FROM_COMMAND, KIND_ITEM, NONE, MESSAGE_ENVELOPE, 0)             \
    X(QUEUE_EDIT, FROM_COMMAND, FROM_QMGR, KIND_STREAM, QUEUE_DONE, MESSAGE_SMALL, 0)        \
    X(QUEUE_FLUSH, FROM_COMMAND, FROM_QMGR, KIND_REQUEST, QUEUE_DONE, MESSAGE_SMALL, 0)      \
    X(QUEUE_CAT, FROM_COMMAND, FROM_QMGR, KIND_STREAM, QUEUE_DONE, MESSAGE_SMALL, 0)         \
    X(QUEUE_DESTINATIONS, FROM_COMMAND, FROM_QMGR, KIND_STREAM, QUEUE_DONE, MESSAGE_SMALL, 0) \
    X(QUEUE_ADOPT, FROM_COMMAND, FROM_QMGR, KIND_STREAM, QUEUE_DONE, MESSAGE_SMALL, 1)       \
    X(QUEUE_DONE, FROM_QMGR, FROM_COMMAND, KIND_ANSWER, NONE, MESSAGE_SMALL, 0)
/* clang-format on */

enum message {
    MESSAGE_NONE,
#define X(name, from, to, kind, answer, octets, fds) MESSAGE_##name,
    MESSAGES(X)
#undef X
        MESSAGE_COUNT,
};

struct message_rule {
    const char *name;
    unsigned from, to; /* sets of ROLE_BIT() */
    enum message_kind kind;
    enum message answer; /* of KIND_REQUEST and KIND_STREAM */
    uint32_t octets;     /* largest body */
    uint32_t fds;        /* most descriptors */
};

/* The rule of a type read from a frame; NULL when there is no such message. */
const struct message_rule *message_rule(uint32_t type);

const char *role_name(enum role role); /* "smtpd" */

/*
 * Attributes: one name space for all messages. Each comment gives the type: n a
 * number, t text or octets, g a group of attributes, * may occur again.
 */
enum attr {
    ATTR_RESULT = 1,       /* n enum result */
    ATTR_STATUS = 2,       /* t RFC 3463 status code */
    ATTR_TEXT = 3,         /* t one line for people */
    ATTR_ID = 4,           /* n queue id */
    ATTR_COUNT = 5,        /* n */
    ATTR_ENVELOPE = 6,     /* g lib/mail/envelope */
    ATTR_HEADER = 7,       /* t message header, CRLF line ends, no empty line */
    ATTR_BODY = 8,         /* t message body, inline */
    ATTR_BLOB = 9,         /* n number of a blob that qmgr lent */
    ATTR_LENGTH = 10,      /* n octets */
    ATTR_CRC = 11,         /* n crc32c */
    ATTR_TOKEN = 12,       /* g lib/mail/delivery: one attempt */
    ATTR_SETTLE = 13,      /* g* what a transaction settles besides */
    ATTR_RCPT_INDEX = 14,  /* n* index of a recipient in its message */
    ATTR_TRANSPORT = 15,   /* t service name in master.cf */
    ATTR_NEXTHOP = 16,     /* t */
    ATTR_RCPT_RESULT = 17, /* g* lib/mail/delivery: what became of one */
    ATTR_KIND = 18,        /* n */
    ATTR_ADDRESS = 19,     /* t */
    ATTR_SENDER = 20,      /* t */
    ATTR_CLASS = 21,       /* n enum address_class */
    ATTR_FLAGS = 22,       /* n */
    ATTR_NAME = 23,        /* t */
    ATTR_TYPE = 24,        /* n */
    ATTR_TTL = 25,         /* n seconds */
    ATTR_RECORD = 26,      /* g* one DNS record or address */
    ATTR_PREFERENCE = 27,  /* n */
    ATTR_DATA = 28,        /* t */
    ATTR_ROLE = 29,        /* n enum role */
    ATTR_INDEX = 30,       /* n which process of a pool */
    ATTR_SERVICE = 31,     /* t "name/type" in master.cf */
    ATTR_LIMIT = 32,       /* n */
    ATTR_QUEUE = 33,       /* t "active", "deferred", "hold", ... */
    ATTR_TIME = 34,        /* n microseconds since 1970 */
    ATTR_REASON = 35,      /* t */
    ATTR_PERCENT = 36,     /* n */
    ATTR_EXPECTS = 37,     /* n */
    ATTR_RELAY = 38,       /* t */
    ATTR_UID = 39,         /* n */
    ATTR_SLOT = 40,        /* n place in the table of lib/daemon/slots */
    ATTR_PROCESS = 41,     /* n of master's children, never the same twice */
    ATTR_PROOF = 42,       /* n lib/mail/late: that an attempt was an agent's */
    ATTR_SECRET = 43,      /* t keys of such proofs: the present, the former */
    /* Messages of one daemon's own may use tags from here on. */
    ATTR_PRIVATE = 64,
};
