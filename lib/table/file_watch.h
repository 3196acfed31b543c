/*
 * file_watch - notices that a file was replaced or changed, at the price of one
 * stat(2) a second.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum { FILE_WATCH_MS = 1000 };

struct file_watch {
    bool known; /* seen is what was read */
    struct stat seen;
    int64_t next_ms; /* not looked at again before ... */
    uint64_t reload; /* ... unless there was one: daemon_reloads() */
};

/* st is the file that is being read now. */
void file_watch_set(struct file_watch *w, const struct stat *st) ATTR_NONNULL;

/*
 * True when path has become another file than the last one set, or none was
 * set yet. A file that has gone is not a change: what was read stays good until
 * there is another. Nor is one that is being written into, until that has rested
 * for a second; but after a reload it is looked at as it is.
 */
bool file_watch_changed(struct file_watch *w, const char *path) ATTR_NONNULL;
