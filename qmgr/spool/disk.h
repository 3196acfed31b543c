/*
 * disk - the system calls that touch the spool, behind one seam.
 *
 * In production they are plain calls. A test replaces the table: to fail the
 * nth call with an errno of its choice, to record every write and flush so that
 * a power cut can be played after each with what was not flushed kept, lost,
 * torn or reordered, to fill the disk. Nothing in qmgr changes the spool in
 * another way.
 *
 * Each call returns -1 and sets errno when it fails. All may be called by
 * several threads at a time. Descriptors that leave the spool (lent blobs) are
 * the machine's own.
 */
#pragma once

#include "lib/base/attr.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* Called for each name in a directory, "." and ".." left out. */
typedef void (*disk_name_fn)(void *context, const char *name);

struct disk {
    /* A file, or with O_DIRECTORY a directory; else, a link too, ELOOP. */
    int (*open)(struct disk *d, int dir, const char *name, int flags,
        mode_t mode);
    int (*close)(struct disk *d, int fd);
    /* All of it, or -1. */
    int (*write)(struct disk *d, int fd, const struct iovec *iov, int count,
        off_t offset);
    /* Less than len only at the end of the file. */
    ssize_t (*read)(struct disk *d, int fd, void *to, size_t len, off_t offset);
    int (*flush)(struct disk *d, int fd); /* data: fdatasync */
    int (*sync)(struct disk *d, int fd);  /* a directory, a new file: fsync */
    /* Octets from 0 to len exist and can be written without ENOSPC. */
    int (*reserve)(struct disk *d, int fd, off_t len);
    int (*rename)(struct disk *d, int from_dir, const char *from, int to_dir,
        const char *to);
    int (*unlink)(struct disk *d, int dir, const char *name);
    /* Give a file made with O_TMPFILE a name. */
    int (*link)(struct disk *d, int fd, int dir, const char *name);
    int (*mkdir)(struct disk *d, int dir, const char *name, mode_t mode);
    int (*list)(struct disk *d, int dir, disk_name_fn fn, void *context);
    int64_t (*length)(struct disk *d, int fd);
    int64_t (*free_octets)(struct disk *d, int dir);
    /* An exclusive lock that ends with the descriptor; EAGAIN when taken. */
    int (*lock)(struct disk *d, int fd);
};

/* The machine's own. */
extern struct disk disk_real;
