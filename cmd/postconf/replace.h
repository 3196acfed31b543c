/*
 * replace - put a new text in a file's place: written beside it, flushed, and
 * renamed, with mode and owner kept. A symbolic link stays: its target is
 * replaced.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

struct replacement {
    char *path;      /* of the file itself */
    int directory;   /* locked, so that two edits do not undo each other */
    struct buf text; /* as it is now */
};

/* Exits with a message when it cannot. */
void replace_begin(struct replacement *r, const char *path) ATTR_NONNULL;
void replace_end(struct replacement *r, struct slice text) ATTR_NONNULL;
