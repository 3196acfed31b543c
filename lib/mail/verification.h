/*
 * verification - which addresses take mail, as far as probes found out: what
 * Postfix's verify(8) answers.
 *
 * lookup knows (lookup/verifier). It says who is to send a probe, to one process
 * at a time for each address; qmgr tells it what became of that.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <stdint.h>

/* The numbers stand in the book of results. */
enum verified {
    VERIFIED_DELIVERABLE = 0,
    VERIFIED_DEFERRED = 1,
    VERIFIED_BOUNCED = 2,
    VERIFIED_PENDING = 3, /* nothing is known yet */
};

enum {
    VERIFY_ADDRESS_MAX = 1024, /* octets; longer ones are not verified */
    VERIFY_TEXT_MAX = 2000,
    VERIFY_WAIT_MAX_MS = 10 * 60 * 1000,
};

enum verify_ask {
    VERIFY_ASK_PROBE = 1 << 0, /* we send a probe if one is due */
};

struct verify_question {
    struct slice address;
    uint32_t flags;   /* set of enum verify_ask */
    uint32_t wait_ms; /* so long for a result, if there is none yet */
};

struct verify_answer {
    uint32_t verified;  /* enum verified */
    uint32_t probe_due; /* 1: and it is for who asked to send it */
    struct slice text;  /* the host's reply, or why there is none */
};

/*
 * text is replaced, and a->text borrows from it. False: nobody can be asked
 * until the deadline. Waits.
 */
bool verify_ask(const struct verify_question *q, int64_t deadline_ms,
    struct buf *text, struct verify_answer *a) ATTR_NONNULL ATTR_MUST_USE;

/* The same over a link of the caller's: a command's to public/verify. */
bool verify_ask_link(struct link *l, const struct verify_question *q,
    int64_t deadline_ms, struct buf *text, struct verify_answer *a)
    ATTR_NONNULL ATTR_MUST_USE;

/* The probe that was due was not sent, or not tried: another may be. Does not wait. */
void verify_lost(struct slice address) ATTR_NONNULL;

/* What a probe found: VERIFY_FOUND. Does not wait. */
struct verify_result {
    struct slice address;
    uint32_t verified; /* not VERIFIED_PENDING */
    struct slice text;
};
void verify_found(const struct verify_result *r) ATTR_NONNULL;

/* The messages, for lookup's end. Slices borrow from in. */
bool verify_question_decode(struct slice in, struct verify_question *q)
    ATTR_NONNULL ATTR_MUST_USE;
void verify_answer_encode(const struct verify_answer *a, struct msg *m)
    ATTR_NONNULL;
/* VERIFY_FOUND, and VERIFY_LOST, which has the address alone. */
bool verify_result_decode(struct slice in, struct verify_result *r)
    ATTR_NONNULL ATTR_MUST_USE;
