/*
 * disk_record - a disk that writes down what is done to it, for tests that cut
 * the power of a running system (tests/crash/power_cut).
 *
 * Each call that changes the disk, or makes it durable, is an entry in a file,
 * with its octets and its time, in the order in which it ended. So the disk as it
 * was at any instant, without what was not flushed, can be made again. Only in
 * builds with POSTERN_TEST_HOOKS.
 *
 * What a borrower wrote into a blob does not pass here: it is read back when the
 * blob is flushed.
 */
#pragma once

#include "qmgr/spool/disk.h"

#define DISK_RECORD_VARIABLE "POSTERN_DISK_RECORD"

enum disk_record_call {
    DISK_RECORD_OPEN = 1, /* dir, flags; a name; result: the descriptor */
    DISK_RECORD_CLOSE,    /* fd */
    DISK_RECORD_WRITE,    /* fd, offset; octets */
    DISK_RECORD_FLUSH,    /* fd; sync, too */
    DISK_RECORD_RESERVE,  /* fd, length */
    DISK_RECORD_RENAME,   /* dir, to_dir; both names, a zero between */
    DISK_RECORD_UNLINK,   /* dir; a name */
    DISK_RECORD_LINK,     /* fd, dir; a name */
    DISK_RECORD_MKDIR,    /* dir; a name */
};

/* Of this host, since nobody else reads it; len octets follow. */
struct disk_record {
    uint32_t call; /* enum disk_record_call */
    int32_t fd, dir, to_dir, result;
    uint32_t flags;
    int64_t offset;
    int64_t time_ns; /* CLOCK_REALTIME */
    uint64_t len;
};

/* The machine's own, recorded if the environment names a file. */
struct disk *disk_recorded(void);
