/*
 * state - what the files of qmgr/spool share: the spool, its segments, and the
 * steps that they are built from. Nobody else includes this.
 *
 * Threads: a field is the committer's alone unless it stands behind "lock" in
 * its struct, or is atomic. Recovery and closing happen before and after there
 * are other threads.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "lib/base/why.h"
#include "qmgr/spool/budget.h"
#include "qmgr/spool/disk.h"
#include "qmgr/spool/finds.h"
#include "qmgr/spool/format.h"
#include "qmgr/spool/spool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BATCH_MAX = 16 * 1024 * 1024, /* octets gathered for one flush */
    PLACE_SLOT_BITS = 20,         /* of spool_place.segment: slot + 1 */
    SLOTS_MAX = (1 << PLACE_SLOT_BITS) - 2,
    RESERVE_CLEANER = 2, /* segments that fresh mail does not get */
    RESERVE_SETTLING = 1,
    GROWTH_PART = 16, /* the first one grows in pieces of this part of it */
    FREE_KEPT = RESERVE_CLEANER + RESERVE_SETTLING + 1,
    SERIAL_BITS = 40, /* of a serial: the count; above it the epoch */
};

enum segment_use {
    USE_FREE,   /* may be opened */
    USE_OPEN,   /* batches are appended */
    USE_SEALED, /* complete, with an index block on disk */
    USE_CLOSED, /* complete, its index only in memory */
    USE_GONE,   /* no file; the slot may be used again */
};

/* REMOVE records of a segment that wait for another to be overwritten. */
struct target {
    uint64_t target; /* as record_info.other */
    uint64_t octets;
};

struct segment {
    uint32_t slot;
    enum segment_purpose purpose;
    uint64_t end;         /* behind the last durable batch */
    uint64_t reserved;    /* octets of the file that exist */
    uint64_t last_serial; /* of the last batch */
    struct buf index;     /* entries: while open, closed or being cleaned */
    uint32_t entries;
    struct target *targets;
    size_t target_count;
    bool bad;         /* after a failure: removed instead of used again */
    bool keep;        /* holds what could not be read: never overwritten */
    bool header_done; /* the header of this use is written */
    bool clean_end;   /* the last batch is a clean mark */
    bool damaged;     /* found at the start: not appended to */
    bool left;        /* GONE, but a file is there that was made in vain */
    bool given_up;    /* cannot be cleaned before the next start */
    int64_t stuck_until_ms; /* not cleaned before, unless nothing is live */
    uint64_t size; /* of this use: queue_segment_size may have changed */

    /* lock, to write; the committer may read without: */
    struct segment_key key;
    enum segment_use use;
    int fd;
    uint32_t place;   /* spool_place.segment of this use; 0 while free */
    uint64_t live;    /* octets of needed records */
    unsigned readers; /* who have the descriptor in use */
};

/* A record on its way into a batch. */
struct entry {
    struct record_info info; /* offset is set when it is placed */
    struct slice head, content;
    struct spool_place *place; /* out; NULL if nobody asks */
};

struct batch {
    struct entry *entries;
    size_t count, room;
    uint64_t octets;       /* of the records */
    uint64_t index_octets; /* of their index entries */
};

/* The file "owner": two slots, written in turn. */
enum { OWNER_TEXT_MAX = 512 };
struct owner_file {
    bool has_slots; /* else it is replaced as a whole */
    bool durable;   /* what slot has is on the disk */
    unsigned slot;  /* the newest */
    uint64_t writes;
    char text[OWNER_TEXT_MAX]; /* as it was read */
    size_t len;
};

/* Whose append: how far into the reserves it may go. */
enum claim { CLAIM_FRESH, CLAIM_SETTLING, CLAIM_CLEANER };

struct clean_job;

struct spool {
    struct disk *disk;
    int dir, segment_dir, blob_dir, damaged_dir, lock_fd;
    uint64_t segment_size, min_free;
    unsigned char id[SPOOL_ID_SIZE];
    uint64_t epoch;
    enum spool_adoption adoption;
    unsigned char adopter[SPOOL_ID_SIZE];
    bool adopted_now;
    struct owner_file owner;
    struct closure ends[PURPOSE_COUNT]; /* of open segments, at a clean end */
    size_t end_count;

    uint64_t serial;     /* last one given: transactions, batches, stamps */
    uint64_t generation; /* last one given */
    struct segment *open[PURPOSE_COUNT];
    struct closure closures[CLOSURES_MAX];
    size_t closure_count;
    bool closures_durable; /* all of them are in a header that was flushed */
    struct map doubled;    /* target.c */
    unsigned char block[BLOCK_SIZE]; /* for headers */
    unsigned char *buffer;           /* batches are encoded here */
    size_t buffer_size;
    struct batch batch;
    struct clean_job *job;
    int64_t clean_after_ms; /* paused until then */
    struct budget budget;   /* of the cleaner */
    bool behind;            /* more is in use than is promised */
    bool clean_waits;       /* there is something to clean, later */
    bool pressed;           /* there will not be a next segment: clean more */

    atomic_uint_fast64_t blob_serial;

    pthread_mutex_t lock;
    struct segment **segments; /* by slot */
    size_t segment_count;
    struct spool_stats stats;
    uint64_t room_settling; /* octets left, as of the last look */
    uint64_t room_fresh;
    uint64_t room_sure; /* octets in blocks that are there */
    uint64_t room_taken;
    uint64_t room_wanted; /* what was asked for in vain since then */
    int64_t room_seen_ms;
};

/* Add to one of s->stats. */
void spool_count(struct spool *s, uint64_t *what, uint64_t n) ATTR_NONNULL;

uint64_t spool_next_serial(struct spool *s) ATTR_NONNULL;

/* segment.c: the table of segments and the life of each */

/* A table entry for slot, which has none yet. */
struct segment *segment_add(struct spool *s, uint32_t slot) ATTR_NONNULL;
const char *segment_name(const struct segment *seg, char name[16]) ATTR_NONNULL;

/* Give it a use of its own; the header is written with its first batch. */
enum result segment_open(struct spool *s, enum segment_purpose purpose,
    enum claim claim, struct segment **seg, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
bool segment_may_open(const struct spool *s) ATTR_NONNULL;
enum result segment_write_header(struct spool *s, struct segment *seg,
    enum segment_state state, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Octets that records and their index entries may still take. */
bool segment_fits(const struct segment *seg, uint64_t octets,
    uint64_t index_octets) ATTR_NONNULL;
uint64_t segment_left(const struct segment *seg) ATTR_NONNULL;

void segment_set_use(struct spool *s, struct segment *seg, enum segment_use use)
    ATTR_NONNULL;

/* retire.c: how a use ends */

/* Write index block and trailer; without success it is closed, not sealed. */
void segment_seal(struct spool *s, struct segment *seg) ATTR_NONNULL;

/* After a failure: nothing behind seg->end is valid, ever. */
void segment_close_bad(struct spool *s, struct segment *seg) ATTR_NONNULL;

/* Nothing in it is needed: durably overwrite its header, or remove it. */
enum result segment_retire(struct spool *s, struct segment *seg,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Free files above what is kept are deleted. */
void segment_trim(struct spool *s) ATTR_NONNULL;

/* The segment that place speaks of, its descriptor kept open; NULL: none. */
struct segment *segment_hold(struct spool *s, const struct spool_place *place,
    struct segment_key *key) ATTR_NONNULL;
void segment_release(struct spool *s, struct segment *seg) ATTR_NONNULL;

/* By generation, in use; NULL: overwritten. */
struct segment *segment_of_generation(const struct spool *s,
    uint64_t generation) ATTR_NONNULL;

bool segment_in_use(const struct segment *seg);
struct segment *segment_at(const struct spool *s,
    const struct spool_place *place) ATTR_NONNULL;

/* Account for a record that is in seg now. */
void segment_count_record(struct spool *s, struct segment *seg,
    const struct record_info *r) ATTR_NONNULL;

size_t segments_free(const struct spool *s) ATTR_NONNULL;

/* Make the file longer, if need be, so that end is in it; -1: errno is set. */
int segment_reserve(struct spool *s, struct segment *seg, uint64_t end)
    ATTR_NONNULL ATTR_MUST_USE;
/* One more free one. False: there is no room for it, or none was needed yet. */
bool segments_add(struct spool *s) ATTR_NONNULL;

/* Make free segments until the claim can be served. */
bool segments_prepare(struct spool *s, enum claim claim) ATTR_NONNULL;

/* A read that survives one transient failure. False: errno is set. */
bool spool_read_octets(struct spool *s, int fd, void *to, size_t len,
    uint64_t offset) ATTR_NONNULL ATTR_MUST_USE;

/* append.c */

void batch_clear(struct batch *b) ATTR_NONNULL;
void batch_add(struct batch *b, const struct entry *e) ATTR_NONNULL;
void batch_fini(struct batch *b) ATTR_NONNULL;

/*
 * Does the batch, meant for seg (or for an empty one), take so much more? A
 * segment is filled before the next one is begun.
 */
bool batch_takes(const struct spool *s, const struct segment *seg,
    const struct batch *b, uint64_t octets, uint64_t index_octets);

/* One write and one flush; sets the places. An empty batch is a clean mark. */
enum result batch_append(struct spool *s, struct batch *b,
    enum segment_purpose purpose, enum claim claim, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* target.c: how long a REMOVE is needed */

/* The message at place: its segment's generation, or all up to now. */
uint64_t target_at(const struct spool *s, const struct spool_place *place)
    ATTR_NONNULL;

/* This message may be in more than one segment, of those there are now. */
void target_note_double(struct spool *s, uint64_t id) ATTR_NONNULL;
/* So the target is wider for it. */
uint64_t target_of_message(const struct spool *s, uint64_t id, uint64_t target)
    ATTR_NONNULL;
void target_fini(struct spool *s) ATTR_NONNULL;

/* Must a REMOVE in seg be kept? */
bool target_needed(const struct spool *s, const struct segment *seg,
    uint64_t target) ATTR_NONNULL;

/* So many octets of REMOVE records in seg are kept for the target. */
void target_count(struct segment *seg, uint64_t target, uint64_t octets)
    ATTR_NONNULL;
/* How many octets are not needed any more. */
uint64_t target_forget(const struct spool *s, struct segment *seg) ATTR_NONNULL;

/* room.c */

/* Look at the disk and the segments again. */
void room_refresh(struct spool *s) ATTR_NONNULL;
/* May a fresh batch of so many octets be taken? */
bool room_for_fresh(struct spool *s, uint64_t octets) ATTR_NONNULL;

/* owner.c: lock, identity, epoch */

enum result owner_lock(struct spool *s, int wait_ms, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
enum owner_found {
    OWNER_OK,
    OWNER_NONE,
    OWNER_DAMAGED,
    OWNER_NEWER, /* *why is set, as for the next one */
    OWNER_ERROR,
};
enum owner_found owner_read(struct spool *s, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
enum result owner_write(struct spool *s, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
/* May a start by this adopter (NULL: an ordinary one) have it? */
bool owner_is_for(const struct spool *s, const char *adopter, struct why *why)
    __attribute__((nonnull(1, 3))) ATTR_MUST_USE;
/* From the next write on it is being adopted. */
enum result owner_adopt(struct spool *s, const char *adopter, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* load.c: the files as they are, each with its index */

struct loading {
    struct spool *spool;
    unsigned threads;
    spool_damage_fn damage;
    void *context;
    uint64_t max_serial; /* of all that was seen */
    uint64_t max_generation;
    struct run *runs; /* out: by slot, to be freed by loading_fini() */
    size_t run_count;
    struct closure *closures; /* all that headers name */
    size_t closure_count, closure_room;
    bool foreign_id; /* the spool's id is not known: the first header has it */
    bool owner_missing;
};
enum result spool_load(struct loading *l, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void loading_fini(struct loading *l) ATTR_NONNULL;

/* Copy octets to damaged/ and tell. False: they could not be saved. */
bool set_aside(struct loading *l, const struct segment *seg, uint64_t from,
    const unsigned char *octets, size_t len, const char *text) ATTR_NONNULL;
void tell_damage(struct loading *l, const struct segment *seg, const char *text)
    ATTR_NONNULL;

/* sealed.c: index blocks, side by side */

struct sealed {
    struct segment *segment; /* NULL: none that is in use */
    bool closed;             /* at its closure, so it has no trailer */
    enum {
        SEALED_NOT, /* no trailer, or one of another use */
        SEALED_OK,  /* its index is in memory, the run has its entries */
        SEALED_DAMAGED,
    } found;
    struct trailer trailer; /* unless SEALED_NOT */
};
/* One for each of l->runs. */
void sealed_read(const struct loading *l, struct sealed *sealed) ATTR_NONNULL;

/* recover.c */

enum result spool_recover(struct spool *s, const struct spool_options *options,
    spool_found_fn found, spool_damage_fn damage, void *context,
    struct why *why) ATTR_MUST_USE;

/* clean.c */

/* A committed REMOVE: the step under way must not bring its message back. */
void clean_note_remove(struct spool *s, uint64_t id) ATTR_NONNULL;

/* Where its message is if the step under way has copied it. */
bool clean_target(const struct spool *s, uint64_t id, uint64_t *target)
    ATTR_NONNULL;
void clean_free(struct spool *s) ATTR_NONNULL;
