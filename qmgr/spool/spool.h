/*
 * spool - the queue on disk: a group-committed log of records in recycled
 * segments, and blobs.
 *
 * The spool knows records, not mail: what a message needs (envelope, header,
 * inline body; settled recipients; a message's end) is octets with a type and a
 * queue id. qmgr/spool/FORMAT.md (in docs/) has the format octet by octet, with
 * what recovery does on each kind of damage.
 *
 * Two kinds of callers. The loop thread builds transactions and hands them to
 * the committer through a channel; the committer thread calls spool_commit()
 * with all that have gathered. Tests and the simulator call spool_commit() on
 * their only thread: nothing in here knows of threads.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "qmgr/spool/disk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spool;

/* Types on disk: never renumbered. */
enum record_type {
    RECORD_MESSAGE = 1, /* a message enters: envelope, header, inline body or
                           blob, in one record */
    RECORD_STATUS = 2,  /* recipients settled or deferred, next try: attributes;
                           the newest state of the message's recipients */
    RECORD_REMOVE = 3,  /* the message is done: nothing of it is live */
    RECORD_HOLD = 4,    /* hold or release */
    RECORD_META = 5,    /* spool-wide: id high-water mark, epoch */
    RECORD_CONTENT = 6, /* header and inline body, parted from the envelope by
                           the cleaner */
    RECORD_REPLACE = 7, /* the envelope anew (requeue, alias expansion) */
};

/* Where a record is. Valid until the cleaner says that it moved. */
struct spool_place {
    uint32_t segment; /* slot of the segment's file */
    uint32_t offset;  /* in units of 8 octets */
    uint32_t length;  /* octets of the payload */
};

/* One record of a transaction. payload is borrowed until completion. */
struct spool_record {
    enum record_type type;
    uint64_t id;          /* queue id; 0 for RECORD_META */
    struct slice head;    /* payload, part one: attributes */
    struct slice content; /* payload, part two: header and inline body */
    struct spool_place place; /* out: where it was written */
};

/* A blob that becomes part of the message with the transaction. */
struct spool_blob {
    uint64_t number; /* 0: none */
    int fd;
    uint64_t length;
    uint32_t crc;
};

/* All of it becomes durable, or nothing does. */
struct spool_txn {
    struct list link;   /* the committer's queue */
    uint64_t serial;    /* given by spool_commit(); recovery drops doubles */
    struct spool_record *records;
    size_t record_count;
    bool settling;      /* may use the reserve: a full disk must not stop the
                           queue from emptying */
    enum result result; /* out */
    struct why why;     /* out */
    void *owner;        /* the caller's */
};

struct spool_options {
    struct disk *disk;
    int dir;                 /* queue_directory/spool, open; owned by caller */
    uint64_t segment_size;   /* queue_segment_size */
    uint64_t min_free;       /* queue_minfree: fresh mail is refused below */
};

/*
 * What is found at the start, record by record in order of the log (a message
 * before its changes). content is empty unless type is RECORD_MESSAGE and the
 * caller asks with spool_read(). False: stop, *why is set.
 */
struct spool_found {
    enum record_type type;
    uint64_t id;
    struct slice head;
    struct spool_place place;
    uint64_t blob; /* RECORD_MESSAGE: number of its blob, or 0 */
};
typedef bool (*spool_found_fn)(void *context, const struct spool_found *f,
    struct why *why);

/* Damage that was set aside; text names file, offset and what is known. */
typedef void (*spool_damage_fn)(void *context, const char *text);

/*
 * Take the lock (one owner at a time: RESULT_TEMPFAIL names the other), read
 * the log, tell each live record, set damage aside below damaged/, make ready
 * to append. A directory without a spool gets one.
 */
enum result spool_open(const struct spool_options *options,
    spool_found_fn found, spool_damage_fn damage, void *context,
    struct spool **spool, struct why *why) ATTR_MUST_USE;

/* A clean end: seals, writes the index block, unlocks. Frees. */
void spool_close(struct spool *s);

/*
 * Make the transactions of list durable with one flush: encodes, writes,
 * flushes, sets result and places. What does not fit or fails gets its own
 * result (4.3.1 when the disk is full); the order of the list is the order of
 * the log. Committer only.
 */
void spool_commit(struct spool *s, struct list *txns) ATTR_NONNULL;

/*
 * Room: reserve octets for a transaction before it is built, so that the result
 * of a delivery that is under way always fits. Fresh mail gets only what
 * remains above the reserve. Any thread.
 */
bool spool_has_room(struct spool *s, uint64_t octets) ATTR_NONNULL;

/*
 * Read a record's payload back into buf: head, then content. Verifies its
 * checksum. Blocks. I/O threads, beside commits.
 */
enum result spool_read(struct spool *s, const struct spool_place *place,
    uint64_t id, struct buf *head, struct buf *content, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Blobs. Lend: an unnamed file in the spool's file system. Keep: check length
 * and crc, flush, link as blob/NUMBER and flush the directory (before the
 * transaction that names it). Open: read-only, by number. Drop: when its
 * message is removed. Block; I/O threads.
 */
enum result spool_blob_lend(struct spool *s, int *fd, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
enum result spool_blob_keep(struct spool *s, int fd, uint64_t length,
    uint32_t crc, uint64_t *number, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
enum result spool_blob_open(struct spool *s, uint64_t number, int *fd,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void spool_blob_drop(struct spool *s, uint64_t number) ATTR_NONNULL;

/* After recovery: delete blobs that no live message named. */
void spool_blob_sweep(struct spool *s, bool (*live)(void *context,
    uint64_t number), void *context);

/*
 * The cleaner, one step: picks the oldest segment that is worth it and asks
 * live() for each of its records; the survivors are appended anew, flushed,
 * moved() tells the new place of each, and the segment is recycled. Called by
 * the committer between batches, or by a test. False: nothing to do.
 */
struct spool_cleaner {
    bool (*live)(void *context, const struct spool_found *f);
    void (*moved)(void *context, uint64_t id, const struct spool_place *from,
        const struct spool_place *to);
    void *context;
};
bool spool_clean(struct spool *s, const struct spool_cleaner *cleaner)
    ATTR_NONNULL;

/*
 * The log says how many octets of each segment are live: the owner reports
 * records that died (removed, superseded), so that the cleaner can choose.
 */
void spool_record_dead(struct spool *s, const struct spool_place *place)
    ATTR_NONNULL;

struct spool_stats {
    uint64_t segments, octets_live, octets_used, commits, flushes, batches_max;
};
void spool_stats(const struct spool *s, struct spool_stats *stats)
    ATTR_NONNULL;
