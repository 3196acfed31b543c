/*
 * rebuild - an indexed table from its source file: the work of postmap,
 * postalias and newaliases. Commands only: it waits for locks and files.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

enum rebuild_source { REBUILD_POSTMAP, REBUILD_POSTALIAS };

enum rebuild_flag {
    REBUILD_FROM_STDIN = 1 << 0,   /* -i: add to what is there */
    REBUILD_NO_FOLD = 1 << 1,      /* -f */
    REBUILD_NO_NUL = 1 << 2,       /* -n */
    REBUILD_REPLACE = 1 << 3,      /* -r: a later entry wins */
    REBUILD_IGNORE = 1 << 4,       /* -w: the earlier one, without a warning */
    REBUILD_KEEP_ROOT = 1 << 5,    /* -o: not as the source's owner */
    REBUILD_DEFAULT_MODE = 1 << 6, /* -p: 0644, not the source's */
    REBUILD_FILES = 1 << 7,        /* -F: values name files; stored in base64 */
    REBUILD_NUL = 1 << 8,          /* -N: cdb: with NULs too */
};

/*
 * spec is "type:file", or "file" for default_database_type. What is wrong with
 * single lines is logged as a warning, and the line is left out.
 */
enum result table_rebuild(struct slice spec, enum rebuild_source source,
    unsigned flags, const struct config *config, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* "type:file" parted; type is the default where there is none. */
void table_spec_split(struct slice spec, const struct config *config,
    struct slice *type, struct slice *file) ATTR_NONNULL;
