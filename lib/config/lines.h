/*
 * lines - logical lines of main.cf and master.cf: a line that begins with a
 * blank goes on with the one before it; empty lines and lines whose first
 * octet is '#' (after blanks) are skipped, also in the middle of a logical
 * line. Table files (postmap) are read in the same way.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    LINE_OCTETS_MAX = 1 << 20,  /* of a logical line */
    FILE_OCTETS_MAX = 16 << 20, /* of main.cf or master.cf */
};

struct lines {
    struct slice rest;
    unsigned number; /* physical lines read so far */
    struct buf joined;
    /* Of the line that lines_next() gave: */
    unsigned first;   /* its number, from 1 */
    unsigned last;    /* where its last text stands */
    bool stray_blank; /* it continues nothing: begins with a blank */
    bool too_long;    /* cut at LINE_OCTETS_MAX */
};

void lines_init(struct lines *l, struct slice text) ATTR_NONNULL;
void lines_fini(struct lines *l) ATTR_NONNULL;

/*
 * The next logical line, its physical lines joined as they are, without line
 * ends and trailing blanks. Good until the next call. False at the end.
 */
bool lines_next(struct lines *l, struct slice *line) ATTR_NONNULL;
