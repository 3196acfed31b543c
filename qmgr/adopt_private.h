/*
 * adopt_private - what the files of qmgr/adopt share: the course of an adoption
 * (adopt.c), and the messages that come with one transaction (adopt_batch.c).
 */
#pragma once

#include "lib/base/buf.h"
#include "qmgr/adopt.h"
#include "qmgr/outside.h"
#include "qmgr/timer.h"

enum {
    BATCH_MESSAGES = 64, /* in one transaction, */
    BATCH_RECORDS = 1000,
    BATCH_OCTETS = 512 * 1024,
};

/* A record of the other spool, as its recovery told it. */
struct source {
    uint64_t id, blob;
    struct spool_place place;
    uint32_t brief_at;
    uint16_t brief_len;
    uint8_t type;
    bool parted;
};

/* One record on its way from there to here. */
struct passing {
    const struct source *source;
    struct buf head, content;
};

/* One message: what is of it in the batch's records. */
struct parcel {
    uint64_t id, old_id;
    size_t first, count;
    uint64_t blob; /* here */
    bool damaged;
};

/* What comes with one transaction. */
struct batch {
    struct passing *passing;      /* BATCH_RECORDS, or one message's ... */
    struct spool_record *records; /* ... and one more */
    size_t count, room;
    struct parcel parcels[BATCH_MESSAGES];
    size_t parcel_count;
    struct buf ids, meta;
};

struct adoption {
    struct qmgr *q;
    struct adopt_order order;
    struct adopt_end end;
    struct spool *from;
    char own[33], other[33];
    enum result result; /* of the disk job */
    struct why why;
    bool is_new; /* nobody had begun to adopt it */

    struct source *sources;
    size_t count, room, at;
    struct buf briefs;

    struct batch *batch;
    uint64_t batch_octets;
    uint64_t txn_octets; /* no transaction has more */
    struct timer timer;
};

/* Have call done by a thread that may block, and then done. */
void adopt_start_job(struct adoption *a,
    void (*call)(struct spool *s, void *owner),
    void (*done)(struct qmgr *q, struct disk_job *j)) ATTR_NONNULL;

/* The end, whatever came of it. */
void adopt_finish(struct adoption *a, enum result res, const struct why *why)
    __attribute__((nonnull(1)));

/* The batch is done with: the next one. */
void adopt_next(struct adoption *a) ATTR_NONNULL;

struct batch *adopt_batch_new(void);
void adopt_batch_free(struct batch *b);

/*
 * Will it take a message of so many records and octets as well? One that is
 * larger than a batch should be has one to itself.
 */
bool adopt_batch_takes(const struct adoption *a, size_t count, uint64_t octets)
    ATTR_NONNULL;

/* The message whose records these are. */
void adopt_batch_add(struct adoption *a, size_t at, size_t count) ATTR_NONNULL;

/* All that is in it: read, written, entered into the queue. */
void adopt_batch_move(struct adoption *a) ATTR_NONNULL;

/* This message stays where it is, and the log has it. */
void adopt_leave(struct adoption *a, uint64_t id, const char *text)
    ATTR_NONNULL;
