/*
 * replacement - the right-hand side of a rule in a table of patterns: text with
 * $1, ${1}, $(1) for what the pattern's parentheses matched, $$ for a dollar.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>

enum { CAPTURES_MAX = 99 };

struct piece {
    struct piece *next;
    struct slice text; /* where index is 0 */
    unsigned index;
};

struct replacement {
    struct piece *pieces;
    unsigned max_index; /* 0: plain text */
};

/* What a pattern matched: groups[0] is the whole; those unset are empty. */
struct captures {
    struct slice groups[CAPTURES_MAX + 1];
};

/*
 * Copies what it keeps into arena. False: *problem says what is wrong, in
 * Postfix's words.
 */
bool replacement_parse(struct slice text, struct arena *arena,
    struct replacement *r, struct buf *problem) ATTR_NONNULL ATTR_MUST_USE;

/* The text as it is, dollars and all. */
bool replacement_plain(struct slice text, struct arena *arena,
    struct replacement *r) ATTR_NONNULL ATTR_MUST_USE;

void replacement_expand(const struct replacement *r,
    const struct captures *captures, struct buf *to)
    __attribute__((nonnull(1, 3)));
