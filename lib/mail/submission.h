/*
 * submission - one message into the queue, as one transaction.
 *
 * Used by all submitters: smtpd, local (forwards), bounce (notices). The
 * submitter holds a lease of ids; what it submits is acknowledged only when it
 * is durable. A transaction may besides settle recipients of the message that
 * it came from (alias expansion, a notice): either all of it happens or nothing.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/ipc/link.h"
#include "lib/mail/delivery.h"
#include "lib/mail/envelope.h"

#include <stdint.h>

/* A body too large to travel inline: an unnamed file that qmgr lent. */
struct blob {
    uint64_t number; /* qmgr's name for it; 0: none */
    int fd;          /* -1: none */
    uint64_t length;
    uint32_t crc; /* crc32c of its octets */
};

/* Recipients of another message that this transaction settles. */
struct settlement {
    struct attempt attempt;
    const uint32_t *indexes; /* recipients, as in delivery */
    size_t count;
    /*
     * What the sender is told of them where he asked for it (NOTIFY=SUCCESS):
     * then they are settled by the notice. NULL: nothing.
     */
    const struct rcpt_result *result;
};

struct submission {
    struct envelope envelope;
    struct slice encoded; /* the envelope as it came in */
    struct slice header;  /* with CRLF line ends, without the empty line */
    struct slice body;    /* inline body with CRLF line ends, or empty */
    struct blob blob;     /* or the body here */
    const struct settlement *settles; /* NULL: none */
    /*
     * Nothing but the settlement: the recipients are done and there is no
     * message (an alias that expands to nothing, a notice that is not due).
     */
    bool settle_only;
};

/*
 * The next id of this process's lease; asks qmgr for another lease when it runs
 * out. Waits.
 */
enum result submission_next_id(int64_t deadline, uint64_t *id, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Borrow a file for a body. Waits. */
enum result submission_borrow_blob(uint64_t id, int64_t deadline,
    struct blob *blob, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Give it back unused (the transaction was aborted), and close. */
void submission_return_blob(struct blob *blob) ATTR_NONNULL;

/*
 * Submit and wait until the message is durable. A lost qmgr is asked again
 * under the same id until the deadline. RESULT_OK; RESULT_TEMPFAIL with the
 * reason (4.3.1 full, 4.3.0); RESULT_PERMFAIL when the token is stale or the
 * queue refuses it for good. The blob is closed in any case. Waits.
 */
enum result submission_send(struct submission *s, int64_t deadline,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * What qmgr answers: LEASED, BLOB and SUBMITTED; and what bounce answers:
 * NOTIFIED. why: unless RESULT_OK.
 */
struct queue_answer {
    enum result result;
    uint64_t id;    /* LEASED: the first */
    uint64_t count; /* LEASED: how many */
    uint64_t blob;  /* BLOB: its number; the descriptor travels beside */
    struct why why;
};
void queue_answer_encode(enum message type, const struct queue_answer *a,
    struct msg *m) ATTR_NONNULL;
enum result queue_answer_decode(struct slice in, struct queue_answer *a,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * qmgr's end: decodes the body of a SUBMIT. Texts borrow from in. Of more than
 * `most` recipients there is no array (envelope_decode_most()).
 */
enum result submission_decode(struct slice in, size_t most, struct arena *arena,
    struct submission *s, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
