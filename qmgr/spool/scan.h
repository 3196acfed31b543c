/*
 * scan - find the records of one use of a segment, whatever state its octets
 * are in.
 *
 * Batches are taken in order while each is whole. Where one is not, the rule of
 * recovery decides: with a later batch that says that this part was durable (or
 * the caller knowing it), it is damage: what is whole of it is kept, the rest
 * is told. Otherwise it is a torn tail, which was never acknowledged.
 */
#pragma once

#include "lib/base/attr.h"
#include "qmgr/spool/disk.h"
#include "qmgr/spool/format.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The octets of a file, read as far as they are needed. */
struct image {
    struct disk *disk; /* NULL: all of it is there already */
    int fd;
    unsigned char *octets;
    uint64_t have;   /* read so far */
    uint64_t length; /* of the file */
    bool unreadable; /* some could not be read, and are zeros here */
};

void image_fini(struct image *img) ATTR_NONNULL;

struct scan_damage {
    uint64_t from, to; /* in the segment */
    unsigned kept;     /* whole records in it */
    unsigned lost;     /* records that can be told to have been there */
    uint64_t lost_id;  /* message of the first of them, 0: not known */
};

struct scan {
    struct segment_key key;
    uint64_t limit;   /* batches lie before this */
    uint64_t durable; /* all before this offset was durable */
    /* The record's octets are at octets; both borrowed. */
    void (*record)(void *context, const struct record_info *r,
        const unsigned char *octets);
    void (*damage)(void *context, const struct scan_damage *d);
    void *context;

    /* out */
    uint64_t end;         /* behind the last batch */
    uint64_t last_serial; /* of a batch */
    uint64_t max_serial;  /* of batches and transactions */
    uint64_t last_at;     /* where the last batch is; 0: there is none */
    bool clean_end;       /* it is empty */
};

void scan_segment(struct image *img, struct scan *sc) ATTR_NONNULL;
