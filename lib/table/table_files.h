/*
 * table_files - the files that say how to reach a table over the network. They
 * hold passwords and may be readable by root alone: master reads them and hands
 * them to lookup, in a memory file that no other process gets.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

#include <stdbool.h>

enum {
    TABLE_FILE_MAX = 256 * 1024,        /* octets of one */
    TABLE_FILES_MAX = 32 * 1024 * 1024, /* of all */
};

/*
 * master: the files of all tables that the configuration names. One that cannot
 * be read is left out; lookup tries itself, and says so.
 */
void table_files_collect(const struct config_set *set, struct buf *to)
    ATTR_NONNULL;

/*
 * lookup: what master collected takes the place of what there was, *before. -1:
 * nothing. One of the next two ends that: it stays so, or what there was before
 * is back.
 */
enum result table_files_take(int fd, struct slice *before, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void table_files_accept(struct slice before);
void table_files_refuse(struct slice before);

/* The contents of path: from master, else from the file. */
enum result table_files_read(const char *path, struct buf *to, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
