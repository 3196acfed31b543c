/*
 * disk - the system calls that touch the spool, behind one seam.
 *
 * In production they are plain calls. A test replaces the table: to fail the
 * nth call with an errno of its choice, to record every write and flush so that
 * a power cut can be played after each with what was not flushed kept, lost,
 * torn or reordered, to fill the disk. Nothing in qmgr changes the spool in
 * another way.
 */
#pragma once

#include "lib/base/attr.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct disk {
    int (*open)(struct disk *d, int dir, const char *name, int flags,
        mode_t mode);
    int (*close)(struct disk *d, int fd);
    /* All of it, or -1. */
    int (*write)(struct disk *d, int fd, const struct iovec *iov, int count,
        off_t offset);
    ssize_t (*read)(struct disk *d, int fd, void *to, size_t len,
        off_t offset);
    int (*flush)(struct disk *d, int fd); /* data: fdatasync */
    int (*sync)(struct disk *d, int fd);  /* a directory, a new file: fsync */
    int (*reserve)(struct disk *d, int fd, off_t len);
    int (*rename)(struct disk *d, int dir, const char *from, const char *to);
    int (*unlink)(struct disk *d, int dir, const char *name);
    int (*link)(struct disk *d, int fd, int dir, const char *name);
    int (*mkdir)(struct disk *d, int dir, const char *name, mode_t mode);
    int64_t (*free_octets)(struct disk *d, int dir);
};

/* The machine's own. */
extern struct disk disk_real;
