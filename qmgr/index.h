/*
 * index - what the queue manager keeps in memory of every message.
 *
 * One small entry for each, whatever its size and number of recipients: names
 * and times, and where its records lie in the spool. Envelope and recipients
 * are read back when a message becomes active (qmgr/readback). An entry of a
 * deferred message takes 176 octets at most, the map and the heap included
 * (tests/unit/qmgr_memory_test.c).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "qmgr/heap.h"
#include "qmgr/spool/spool.h"

#include <stdbool.h>
#include <stdint.h>

struct mail;

enum entry_state {
    ENTRY_ENTERING, /* its record is not durable yet: nobody may see it */
    ENTRY_INCOMING, /* durable, waits for a place in the active set */
    ENTRY_ACTIVE,   /* has a struct mail */
    ENTRY_DEFERRED, /* waits for its next try */
    ENTRY_HELD,     /* waits for the admin */
    ENTRY_DAMAGED,  /* unreadable: left alone, and named in the log */
    ENTRY_LEAVING,  /* done: its end is not durable yet */
};

enum entry_flag {
    ENTRY_EXPIRE = 1 << 0,    /* postsuper -e */
    ENTRY_RECOVERED = 1 << 1, /* its submitter may not know that it is here */
    ENTRY_DROPPED = 1 << 2,   /* it came from a drop file */
    ENTRY_BOUNCE = 1 << 3,    /* null sender: bounce_queue_lifetime */
    ENTRY_PARTS = 1 << 4,     /* has places in index.parts */
    ENTRY_WARNED = 1 << 5,    /* the sender knows of the delay */
    ENTRY_FLUSHED = 1 << 6,   /* defer_transports do not hold it back */
    ENTRY_PARKED = 1 << 7,    /* in a heap of its lane (qmgr/lane) */
    ENTRY_REQUEUE = 1 << 8,   /* postsuper -r */
};

struct entry {
    struct map_node node; /* by id */
    struct heap_node timer;
    struct mail *message; /* while active */
    uint64_t id;
    uint64_t blob;
    int64_t arrival_ms;
    struct spool_place place;   /* RECORD_MESSAGE */
    struct spool_place content; /* RECORD_CONTENT, if it was parted */
    struct spool_place status;  /* newest RECORD_STATUS, if any */
    struct spool_place hold;    /* newest RECORD_HOLD, if any */
    uint32_t version;           /* of the newest change */
    uint32_t site;              /* of the recipients' domain; 0: of several */
    uint32_t lane; /* of the destination it is deferred for; 0: several */
    uint16_t attempts;
    uint8_t deaths;  /* agents that died with it: qmgr/agent */
    uint8_t kills;   /* agents that were killed with it */
    uint8_t state;   /* enum entry_state */
    uint16_t flags;  /* set of enum entry_flag */
    uint16_t origin; /* the place of its submitter (qmgr/intake); 0: unknown */
};

/* A RECORD_STATUS with STATUS_PART that no other has taken up yet. */
struct part {
    struct map_node node; /* by id; several may have the same */
    uint64_t id;
    struct spool_place place;
};

struct index {
    struct map entries;
    struct map parts;
    struct map lanes;     /* qmgr/lane */
    struct heap incoming; /* ENTRY_INCOMING, by order of arrival */
    struct heap timers;   /* ENTRY_DEFERRED, next try; active: expiry */
    size_t states[ENTRY_LEAVING + 1];
};

void index_init(struct index *ix) ATTR_NONNULL;

/* Frees all entries. */
void index_fini(struct index *ix) ATTR_NONNULL;

struct entry *index_find(const struct index *ix, uint64_t id) ATTR_NONNULL;

/* There is no entry of this id. */
struct entry *index_add(struct index *ix, uint64_t id, enum entry_state state)
    ATTR_NONNULL;

/*
 * The same in two steps, so that memory is not waited for when a million come
 * one after the other: in between the entry cannot be found.
 */
struct entry *index_begin(struct index *ix, uint64_t id, enum entry_state state)
    ATTR_NONNULL;
void index_enter(struct index *ix, struct entry *e) ATTR_NONNULL;

/* Takes it out of its heap as well. */
void entry_set_state(struct index *ix, struct entry *e, enum entry_state state)
    ATTR_NONNULL;

/* Out of everything, and freed. Its parts are the caller's to take before. */
void index_remove(struct index *ix, struct entry *e) ATTR_NONNULL;

void index_add_part(struct index *ix, struct entry *e,
    const struct spool_place *place) ATTR_NONNULL;

/* Take one part of e into *place; false when there is none left. */
bool index_take_part(struct index *ix, struct entry *e,
    struct spool_place *place) ATTR_NONNULL;

/* The same with the one at place. */
bool index_drop_part(struct index *ix, struct entry *e,
    const struct spool_place *place) ATTR_NONNULL;

/* Parts of e without taking them: at most max; returns how many there are. */
size_t index_parts(const struct index *ix, const struct entry *e,
    struct spool_place *places, size_t max) __attribute__((nonnull(1, 2)));

/* For the cleaner: is the record at place one that recovery would need? */
bool index_is_live(const struct index *ix, const struct spool_found *f)
    ATTR_NONNULL;

/*
 * For the cleaner: what it moved is there now. False: its message is gone, or a
 * newer record is there; the copy is of no use.
 */
bool index_moved(struct index *ix, const struct spool_move *m) ATTR_NONNULL;

/*
 * What stands for a domain (of an address, or alone) in entry.site; never 0, and
 * the same for ever.
 */
uint32_t index_site(struct slice address);

static inline bool
place_is_set(const struct spool_place *p)
{
    return p->segment != 0;
}

static inline bool
place_same(const struct spool_place *a, const struct spool_place *b)
{
    return a->segment == b->segment && a->offset == b->offset;
}
