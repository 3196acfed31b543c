/*
 * book - the records of one book (lib/table/memo) in memory: found by key,
 * forgotten at their end.
 *
 * A book holds so many records at the most; then those go whose end is nearest,
 * a tenth at a time. So a flood of new greylist triplets, which live a day, does
 * not push out the clients that have been coming for weeks.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

struct record {
    struct map_node node;
    struct list dirty; /* what the file does not have yet */
    int64_t end_s;     /* 0: forgotten, but the file does not know yet */
    uint32_t key_len, value_len;
    char octets[]; /* key, value */
};

struct book {
    struct map records;
    struct list dirty; /* oldest first */
    size_t most;       /* records */
    size_t leaving;    /* of all, are forgotten, and the file does not know */
    bool has_file;     /* what is forgotten is to be told to it */
};

void book_init(struct book *b, size_t most, bool has_file) ATTR_NONNULL;
void book_fini(struct book *b) ATTR_NONNULL;

/* False: not there, or its end is past. value borrows until the next call. */
bool book_find(struct book *b, struct slice key, int64_t now_s,
    struct slice *value) ATTR_NONNULL ATTR_MUST_USE;

/* end_s in the past: forget. */
void book_keep(struct book *b, struct slice key, struct slice value,
    int64_t end_s, int64_t now_s) ATTR_NONNULL;

/* What the file says, unless something newer is known: not dirty. */
void book_load(struct book *b, struct slice key, struct slice value,
    int64_t end_s) ATTR_NONNULL;

/* There is no file after all. */
void book_lose_file(struct book *b) ATTR_NONNULL;

/* Forget what is past its end; how many records that were, and stay. */
size_t book_clean(struct book *b, int64_t now_s, size_t *retained) ATTR_NONNULL;

/*
 * The next record that the file does not have; it then counts as written. NULL:
 * none. It is good until the next call with b; when its end_s is 0 it has to go
 * from the file, and from here with book_drop().
 */
struct record *book_next_dirty(struct book *b) ATTR_NONNULL;
void book_drop(struct book *b, struct record *r) ATTR_NONNULL;

static inline struct slice
record_key(const struct record *r)
{
    return (struct slice){ r->octets, r->key_len };
}

static inline struct slice
record_value(const struct record *r)
{
    return (struct slice){ r->octets + r->key_len, r->value_len };
}
