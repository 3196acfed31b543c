/*
 * disk_sim - a disk in memory whose power can be cut.
 *
 * It implements qmgr/spool/disk.h for tests and the simulator of qmgr, on one
 * thread. Each file has what a reader sees now and what would be left without
 * power: a write is durable after a flush of its file, sector by sector (512
 * octets); a name (created, linked, renamed, removed) after a sync of its
 * directory. What was not made durable may be kept, lost, torn or reordered, as
 * the kind of the cut and its seed say.
 *
 * A flush that fails loses its writes as Linux does: they can still be read,
 * and no later flush makes them durable, though some may be on the disk.
 */
#pragma once

#include "qmgr/spool/disk.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk_sim;

/* capacity: octets of files; more is ENOSPC. */
struct disk_sim *disk_sim_new(uint64_t capacity);
void disk_sim_free(struct disk_sim *sim);

struct disk *disk_sim_disk(struct disk_sim *sim);
int disk_sim_root(struct disk_sim *sim); /* descriptor of its root directory */

void disk_sim_set_capacity(struct disk_sim *sim, uint64_t capacity);
uint64_t disk_sim_used(const struct disk_sim *sim);

/*
 * Calls that change the disk or make it durable are counted from 1. The calls
 * first .. first + count - 1 fail with err; a write that fails leaves half of
 * its octets behind if partial, and whole pages if err is ENOSPC. count 0: none.
 */
struct disk_fault {
    uint64_t first, count;
    int err;
    bool partial;
};
void disk_sim_fail(struct disk_sim *sim, const struct disk_fault *fault);
uint64_t disk_sim_calls(const struct disk_sim *sim);

/* Reads of octets from .. to of a file fail with EIO: a bad place. */
void disk_sim_bad_place(struct disk_sim *sim, int fd, uint64_t from,
    uint64_t to);

/* Called after each counted call; may cut, must not use this disk. */
void disk_sim_watch(struct disk_sim *sim, void (*after)(void *context),
    void *context);

enum cut {
    CUT_KEPT,      /* all that was written is there: the process was killed */
    CUT_LOST,      /* only what is durable */
    CUT_TORN,      /* of each write some sectors */
    CUT_REORDERED, /* some writes, others not, whichever came first */
    CUT_KINDS,
};

/* The disk as it is found after a power cut now. The caller frees it. */
struct disk_sim *disk_sim_cut(const struct disk_sim *sim, enum cut kind,
    uint64_t seed);

/* Of all octets and names: tells one state from another. */
uint64_t disk_sim_hash(const struct disk_sim *sim);

/* Change octets of a file, durably, as bit rot does; false: no such place. */
bool disk_sim_rot(struct disk_sim *sim, const char *dir, const char *name,
    uint64_t offset, unsigned char xor);

/* Length of a file; -1: there is none. dir "" is the root. */
int64_t disk_sim_file_length(const struct disk_sim *sim, const char *dir,
    const char *name);
/* What a reader sees; copies at most len octets, returns how many. */
size_t disk_sim_file_read(const struct disk_sim *sim, const char *dir,
    const char *name, uint64_t offset, void *to, size_t len);
