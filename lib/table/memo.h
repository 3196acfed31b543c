/*
 * memo - what all processes remember together, and beyond a restart: clients
 * that passed the tests before the session, greylisted triplets, addresses that
 * were verified.
 *
 * lookup keeps it (lookup/memo_keeper): small records with an end, in memory and
 * in a Berkeley DB file. They are memory aids, not mail: the newest second may be
 * lost in a crash, and what is too much is forgotten, nearest end first.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/ipc/link.h"

#include <stdint.h>

enum memo_book {
    MEMO_SCREEN,   /* client address -> tests that it passed */
    MEMO_GREYLIST, /* triplet -> when it was first seen */
    MEMO_VERIFY,   /* address -> result of its probe */
    MEMO_BOOKS,
};

enum memo_status { MEMO_FOUND, MEMO_NOT_FOUND, MEMO_ERROR };

enum {
    MEMO_KEY_MAX = 1024,   /* octets; longer keys are not kept */
    MEMO_VALUE_MAX = 4096, /* octets; likewise */
};

/*
 * value is replaced. MEMO_ERROR: lookup cannot be asked; go on as if nothing
 * were known. Waits.
 */
enum memo_status memo_find(enum memo_book book, struct slice key,
    int64_t deadline_ms, struct buf *value) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Remember value until end_s (seconds since 1970), in the place of what there
 * was. An end in the past forgets. Does not wait, and nobody says whether it
 * arrived.
 */
void memo_keep(enum memo_book book, struct slice key, struct slice value,
    int64_t end_s) ATTR_NONNULL;

/* The messages. Slices borrow from the message. */
struct memo {
    enum memo_book book;
    struct slice key, value;
    int64_t end_s; /* MEMO_KEEP */
};
void memo_encode(enum message type, const struct memo *memo, struct msg *m)
    ATTR_NONNULL;
enum result memo_decode(struct slice in, struct memo *memo, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

struct memo_answer {
    enum memo_status status;
    struct slice value;
};
void memo_answer_encode(const struct memo_answer *a, struct msg *m)
    ATTR_NONNULL;
bool memo_answer_decode(struct slice in, struct memo_answer *a)
    ATTR_NONNULL ATTR_MUST_USE;
