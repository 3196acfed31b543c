/*
 * spool_model - an owner of a spool that remembers what it was promised.
 *
 * It runs a script of random, repeatable steps (accept, settle, hold, remove,
 * notices that settle, blobs, cleaning, restarts) against a spool on a
 * simulated disk, and can say of any disk that a power cut left whether all
 * that was acknowledged is there, and nothing else.
 */
#pragma once

#include "qmgr/spool/spool.h"
#include "tests/crash/disk_sim.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct model;

struct model_options {
    uint64_t seed;
    uint64_t segment_size;
    uint64_t capacity;
    unsigned live_max; /* messages in the queue at a time, about */
    unsigned content_max;
};

struct model *model_new(const struct model_options *options);
void model_free(struct model *m);

struct disk_sim *model_disk(struct model *m);
struct spool *model_spool(struct model *m);

/*
 * One step of the script. False: the spool could not be opened again (a fault),
 * the next step tries once more.
 */
bool model_step(struct model *m);

/* Remove all messages, clean until nothing is left to do. */
void model_drain(struct model *m);

/*
 * Would a start from this disk find all that was promised? Fails the test with
 * a message if not. The disk is used up. thorough: goes on from there, restarts
 * and cuts the power in the recovery, too.
 */
void model_check(const struct model *m, struct disk_sim *left, bool thorough);

/*
 * Another model that goes on from there, as this one would if the power had
 * been cut now: what is under way it finds done or not. Takes over the disk.
 */
struct model *model_crashed(const struct model *m, struct disk_sim *left,
    uint64_t seed);

/* What runs can be read back, now. */
void model_check_running(struct model *m);

/* Said before each failure: how to repeat it. */
void model_note(const char *fmt, ...) ATTR_PRINTF(1, 2);

struct model_counts {
    unsigned accepted, removed, refused, cleaned, restarts, blobs;
};
struct model_counts model_counts(const struct model *m);
