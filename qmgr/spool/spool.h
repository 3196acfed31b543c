/*
 * spool - the queue on disk: a group-committed log of records in recycled
 * segments, and blobs.
 *
 * The spool knows records, not mail: what a message needs (envelope, header,
 * inline body; settled recipients; a message's end) is octets with a type and a
 * queue id. docs/SPOOL-FORMAT.md has the format octet by octet, with what
 * recovery does on each kind of damage.
 *
 * Three kinds of callers, named at each function. The loop thread builds
 * transactions and hands them to the committer through a channel; the committer
 * thread calls spool_commit() with all that have gathered, and cleans between
 * batches; I/O threads read back and handle blobs. Tests and the simulator do
 * all of it on their only thread.
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
    RECORD_META = 5,    /* spool-wide: id high-water mark */
    RECORD_CONTENT = 6, /* header and inline body, parted from the envelope by
                           the cleaner, which alone writes these */
    RECORD_REPLACE = 7, /* the envelope anew: kept for, written by nobody yet */
};

/*
 * Where a record is: good until the cleaner says that it moved, and never after
 * a restart. segment 0 means nowhere.
 */
struct spool_place {
    uint32_t segment; /* opaque: slot and use of the segment's file */
    uint32_t offset;  /* in units of 8 octets */
    uint32_t length;  /* octets of the whole record on disk */
};

enum { SPOOL_BRIEF_MAX = 1024 };

/* One record of a transaction. Octets are borrowed until completion. */
struct spool_record {
    enum record_type type;
    uint64_t id;          /* queue id; 0 for RECORD_META only */
    struct slice brief;   /* optional, at most SPOOL_BRIEF_MAX octets: what the
                             index needs at the start; repeated in the index
                             block, so that head need not be read for it */
    struct slice head;    /* payload, part one: attributes */
    struct slice content; /* payload, part two: header and inline body */
    uint64_t blob;        /* RECORD_MESSAGE: from spool_blob_keep(), or 0 */
    struct spool_place target; /* RECORD_REMOVE: where the RECORD_MESSAGE is.
                                  Decides when this record may be forgotten */
    struct spool_place place;  /* out: where it was written */
};

/* All of it becomes durable, or nothing does. */
struct spool_txn {
    struct list link; /* the committer's queue */
    uint64_t serial;  /* given by spool_commit(); recovery drops doubles */
    struct spool_record *records;
    size_t record_count; /* 1 .. SPOOL_TXN_MAX */
    bool settling;       /* may use the reserve: a full disk must not stop the
                            queue from emptying */
    enum result result;  /* out */
    struct why why;      /* out */
    void *owner;         /* the caller's */
};

enum { SPOOL_TXN_MAX = 65535 };

struct spool_options {
    struct disk *disk;
    int dir;               /* queue_directory/spool, open; owned by caller */
    uint64_t segment_size; /* queue_segment_size, put into range */
    uint64_t min_free;     /* queue_minfree: fresh mail is refused below */
    int lock_wait_ms;      /* for a predecessor that is ending; 0: none */
    unsigned threads;      /* that may read while it opens; 0: the caller's */
    const char *adopter;   /* its messages are to be taken over by the spool of
                              this id; NULL: it is opened for its own sake */
};

/* The largest transaction is a little smaller than a segment. */
enum { SPOOL_SEGMENT_MIN = 64 * 1024, SPOOL_SEGMENT_MAX = 1 << 30 };

/*
 * A record as it is found at the start, or asked about by the cleaner. Borrowed
 * for the call.
 */
struct spool_found {
    struct spool *spool; /* for spool_record_dead() and spool_read() */
    enum record_type type;
    uint64_t id;
    uint64_t serial; /* of its transaction: grows in the order of the log */
    struct slice brief;
    struct slice head; /* at the start, where there is no brief; else empty:
                          spool_read() has it */
    struct spool_place place;
    uint64_t blob; /* RECORD_MESSAGE: number of its blob, or 0 */
    bool parted;   /* RECORD_MESSAGE: its content is a RECORD_CONTENT */
    size_t in_all; /* at the start: records found, needed or not */
};

/*
 * Called at the start for each record of messages that are in the queue:
 * RECORD_META first, then message by message in order of their ids, the records
 * of one in order of the log with its RECORD_MESSAGE first and its
 * RECORD_CONTENT, if any, behind that. Messages that were removed do not occur,
 * RECORD_REMOVE neither. A record that a later one makes obsolete (a STATUS, a
 * META) is reported with spool_record_dead(). False: stop, *why is set.
 */
typedef bool (*spool_found_fn)(void *context, const struct spool_found *f,
    struct why *why);

/* Damage that was set aside; text names file, offset and what is known. */
typedef void (*spool_damage_fn)(void *context, const char *text);

/*
 * Take the lock (one owner at a time: RESULT_TEMPFAIL names the other), read
 * the log, tell each live record, set damage aside below damaged/, make ready
 * to append. A directory without a spool gets one. RESULT_PERMFAIL: it is of a
 * newer format, or found() said so.
 */
enum result spool_open(const struct spool_options *options,
    spool_found_fn found, spool_damage_fn damage, void *context,
    struct spool **spool, struct why *why) ATTR_MUST_USE;

/* No thread uses it any more. Marks a clean end, unlocks, frees. */
void spool_close(struct spool *s);

/*
 * The spool's name, the same for its life, and how often it was opened: ids of
 * another spool that was taken over are told apart by them.
 */
struct spool_identity {
    char id[33]; /* hexadecimal */
    uint64_t epoch;
    bool adopted_now; /* nobody had begun to adopt it before this open */
};
void spool_identity(const struct spool *s, struct spool_identity *identity)
    ATTR_NONNULL;

/*
 * A spool that another one takes over says so durably from the moment it is
 * opened for that: nobody but that other one may open it from then on, so that
 * its messages are in one queue at a time. There must be one already; it is
 * written to no more than an open takes.
 */
enum spool_adoption { SPOOL_OWN, SPOOL_ADOPTING, SPOOL_ADOPTED };
enum spool_adoption spool_adoption(const struct spool *s) ATTR_NONNULL;
enum result spool_mark_adopted(struct spool *s, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
/* It is not taken over after all: anybody may open it. */
enum result spool_leave(struct spool *s, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Octets that the records of a transaction may have, about. */
uint64_t spool_txn_max(const struct spool *s) ATTR_NONNULL;

/*
 * Make the transactions of list durable with one flush: encodes, writes,
 * flushes, sets result, serial and places. What does not fit or fails gets its
 * own result (4.3.1 when the disk is full); the order of the list is the order
 * of the log. The list is left as it is. Committer only.
 */
void spool_commit(struct spool *s, struct list *txns) ATTR_NONNULL;

/*
 * Room. A fresh transaction of so many octets would be taken now: it leaves
 * the reserves, what has been set aside and min_free untouched. A hint for
 * early refusals: spool_commit() decides. Any thread.
 */
bool spool_has_room(struct spool *s, uint64_t octets) ATTR_NONNULL;

/*
 * Set room aside for the worst result of a delivery before it is begun, give it
 * back when the result has been committed. It is in blocks that are there, so
 * that nobody can fill them; more are made ready by the next commit, or
 * spool_look(). Fresh mail gets only what remains. 0 octets: is there still any
 * room that nobody has set aside? Of an amount that no segment has a part is set
 * aside. Any thread.
 */
bool spool_room_take(struct spool *s, uint64_t octets)
    ATTR_NONNULL ATTR_MUST_USE;
void spool_room_give(struct spool *s, uint64_t octets) ATTR_NONNULL;

/* Look at the disk again, and make room ready that was not there. Committer. */
void spool_look(struct spool *s) ATTR_NONNULL;

/*
 * Read a record back: brief excluded, head and content appended to the buffers.
 * Verifies its checksums. RESULT_TEMPFAIL: it cannot be read, or is not there
 * any more (the cleaner moved it: look the place up again), or a buffer's
 * ceiling was met. RESULT_PERMFAIL: it is damaged. Blocks. Any thread, beside
 * commits.
 */
enum result spool_read(struct spool *s, const struct spool_place *place,
    uint64_t id, struct buf *head, struct buf *content, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Blobs. Lend: an unnamed file in the spool's file system. Keep: check length
 * and crc, flush, link as blob/NUMBER and flush the directory (before the
 * transaction that names it); the descriptor stays the caller's. RESULT_PERMFAIL
 * when the octets are not what was said. Open: read-only, by number. Drop: when
 * the removal of its message is durable. Block; any thread.
 */
enum result spool_blob_lend(struct spool *s, int *fd, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
enum result spool_blob_keep(struct spool *s, int fd, uint64_t length,
    uint32_t crc, uint64_t *number, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
enum result spool_blob_open(struct spool *s, uint64_t number, int *fd,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void spool_blob_drop(struct spool *s, uint64_t number) ATTR_NONNULL;

/*
 * A blob of another spool becomes one of s as well: copied, verified, and
 * durable with its name. RESULT_PERMFAIL: it does not have these octets.
 * RESULT_TEMPFAIL also where it would leave less than min_free.
 */
enum result spool_blob_copy(struct spool *s, struct spool *from,
    uint64_t number, uint64_t length, uint32_t crc, uint64_t *copy,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Close what lend and open gave: the seam's close(). */
void spool_blob_close(struct spool *s, int fd) ATTR_NONNULL;

/*
 * After recovery, before the first commit: delete blobs that no live message
 * named.
 */
void spool_blob_sweep(struct spool *s,
    bool (*live)(void *context, uint64_t number), void *context);

/*
 * The owner reports records that died: a message's, when its RECORD_REMOVE is
 * durable; an older STATUS, HOLD, REPLACE or META, when the newer one is. The
 * cleaner chooses by it. A RECORD_REMOVE is the spool's own affair. Any thread.
 */
void spool_record_dead(struct spool *s, const struct spool_place *place)
    ATTR_NONNULL;

/*
 * The cleaner, in steps of bounded size. Each step:
 *
 * 1. spool_clean_next(), committer: some records of the segment that is worth
 *    it most; NULL when nothing has to be done now.
 * 2. loop: set live of each move. No waiting for something else meanwhile:
 *    commits go on, but not the next step.
 * 3. spool_clean_copy(), committer: the live ones are written anew and flushed;
 *    sets "to" and "moved". A message removed since (2) is left out.
 * 4. loop: for each that moved take over the new place; where the record is not
 *    wanted any more (the message is gone, a newer STATUS is there) report "to"
 *    dead. The answer must not overtake transactions built before (4).
 * 5. spool_clean_done(), committer: frees the step; behind the last one the
 *    segment is recycled.
 *
 * A RECORD_MESSAGE with content is parted: it moves without its content, and
 * the content becomes a RECORD_CONTENT at content_to.
 */
struct spool_move {
    struct spool_found found; /* head is empty */
    bool live;                /* the owner's answer; comes as false */
    bool moved;
    struct spool_place to;
    struct spool_place content_to; /* RECORD_MESSAGE: segment 0 if not parted
                                      by this move */
};
struct spool_step {
    struct spool_move *moves;
    size_t count;
};
struct spool_step *spool_clean_next(struct spool *s) ATTR_NONNULL ATTR_MUST_USE;
/* It gave none, but has something to do a little later (qmgr/spool/budget). */
bool spool_clean_waits(const struct spool *s) ATTR_NONNULL;
void spool_clean_copy(struct spool *s, struct spool_step *step) ATTR_NONNULL;
void spool_clean_done(struct spool *s, struct spool_step *step) ATTR_NONNULL;

/*
 * The same as one call, for an owner with a single thread: moved() is called
 * with RECORD_MESSAGE and then, if it was parted, with RECORD_CONTENT. False:
 * nothing to do.
 */
struct spool_cleaner {
    bool (*live)(void *context, const struct spool_found *f);
    void (*moved)(void *context, enum record_type type, uint64_t id,
        const struct spool_place *from, const struct spool_place *to);
    void *context;
};
bool spool_clean(struct spool *s, const struct spool_cleaner *cleaner)
    ATTR_NONNULL;

struct spool_stats {
    uint64_t segments;      /* files */
    uint64_t segments_free; /* of them ready for use */
    uint64_t octets_live;   /* in records that are needed */
    uint64_t octets_used;   /* in segments that are in use */
    uint64_t commits, flushes, batch_octets_max;
    uint64_t cleaned;       /* segments recycled */
    uint64_t copied_octets; /* by the cleaner */
    uint64_t closed;        /* segments closed after a failed flush */
};
void spool_stats(struct spool *s, struct spool_stats *stats) ATTR_NONNULL;
