/*
 * mailbox - what local's brain asks a worker to store, and both formats.
 *
 * A worker acts as one user. It is told a path, the lines to put on top and the
 * content, and answers when the message is flushed and has its final name.
 * RESULT_TEMPFAIL and RESULT_PERMFAIL carry Postfix's status and text.
 */
#pragma once

#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/ipc/link.h"
#include "lib/mail/content.h"

#include <stdint.h>

enum mailbox_kind {
    MAILBOX_MAILDIR = 1, /* path is the directory above new/ */
    MAILBOX_MBOX,        /* path is the file */
};

/* How others are kept out of an mbox: mailbox_delivery_lock. */
enum mailbox_lock {
    MAILBOX_LOCK_FCNTL = 1,
    MAILBOX_LOCK_DOT = 2,
    MAILBOX_LOCK_FLOCK = 4,
};

struct mailbox_store {
    enum mailbox_kind kind;
    struct slice path;      /* absolute */
    struct slice sender;    /* of the "From " line of an mbox */
    struct slice top;       /* Return-Path: and the like, CRLF line ends */
    uint32_t locks;         /* set of enum mailbox_lock */
    uint32_t lock_tries;    /* deliver_lock_attempts */
    uint64_t lock_delay_ms; /* deliver_lock_delay */
    uint64_t lock_stale_ms; /* stale_lock_time */
    uint64_t size_limit;    /* octets of the file that is written, 0: none */
    struct content content;
};

/* Takes over s->content.fd into the message. */
void mailbox_store_encode(struct mailbox_store *s, struct msg *m) ATTR_NONNULL;

/* Texts borrow from in; content.fd is taken out of in. */
enum result mailbox_store_decode(struct msg_in *in, struct mailbox_store *s,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* The worker's answer; why may be NULL for RESULT_OK. */
void mailbox_stored_encode(enum result res, const struct why *why,
    struct msg *m) __attribute__((nonnull(3)));
enum result mailbox_stored_decode(struct slice in, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * A mailbox that cannot be opened or locked, by errno: temporary where time may
 * help (4.2.0, 4.3.0), 5.2.2 for no room, else the 5.2.0 that virtual takes for
 * a 4.2.0. The text gets errno's behind it.
 */
enum result mailbox_refusal(struct why *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same while writing, where what is not known to be for good may pass. */
enum result mailbox_write_refusal(struct why *why) ATTR_NONNULL;

/*
 * Store s, as the user that the process is. Both block (flush, locks): off the
 * fiber.
 */
enum result maildir_store(struct mailbox_store *s, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
enum result mbox_store(struct mailbox_store *s, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
