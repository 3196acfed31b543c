/*
 * fold - words into lines: blanks between words become one, and long lines are
 * folded where that is asked for.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"

#include <stdbool.h>
#include <stddef.h>

struct fold {
    struct buf *to;
    size_t column;
    size_t limit; /* the most columns; 0: no folding */
};

enum { FOLD_MAIN = 80, FOLD_MASTER = 79 };

/* A word after a blank, or on a new line where it does not fit. */
void fold_word(struct fold *f, struct slice word) ATTR_NONNULL;

/* The words of text; "{ ... }" is not special. */
void fold_words(struct fold *f, const char *text) ATTR_NONNULL;

/* As it is. */
void fold_text(struct fold *f, const char *text) ATTR_NONNULL;

/* A new line with its indentation, where folding is asked for. */
void fold_break(struct fold *f) ATTR_NONNULL;
