/*
 * lmdb_file - the files of LMDB, read. Its library maps a file and believes
 * every number in it: a damaged file, or one that is cut short under a reader,
 * ends the process. Here each number is checked before it is used, and a bad one
 * is an error of that lookup.
 *
 * Only what postmap makes is read: one tree, keys in the order of their octets,
 * one value for each. Numbers are in the machine's order; a word is size_t.
 *
 *     page   own number (word), padding (2), flags (2), then
 *            branch, leaf: end of places (2), begin of nodes (2), places (2 each)
 *            overflow: how many pages (4), octets over all of them
 *     node   low, high, flags, size of key (2 each), key, then
 *            branch: nothing; low, high and flags are the number of a page
 *            leaf: as many octets as low and high say, or, where they are a big
 *            value, the number of its overflow page (word)
 *     pages  0 and 1 say where the tree begins; the one written last counts
 */
#pragma once

#include "lib/table/table.h"

#include <sys/stat.h>

struct lmdb_file {
    int fd;
    const char *path; /* for messages; borrowed */
    uint64_t size;    /* octets */
    size_t page_size;
    uint8_t *page; /* the one that is looked at */
};

/* RESULT_TEMPFAIL: it cannot be read, or is no such file. */
enum result lmdb_file_open(struct lmdb_file *f, const char *path,
    struct stat *st, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void lmdb_file_close(struct lmdb_file *f) ATTR_NONNULL;

/* The value's octets, as they are in the file, are added to value. */
enum table_status lmdb_file_get(struct lmdb_file *f, struct slice key,
    struct buf *value, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Each entry by its key, until fn returns false. */
enum table_status lmdb_file_walk(struct lmdb_file *f, table_walk_fn fn,
    void *context, struct why *why) __attribute__((nonnull(1, 2, 4)))
ATTR_MUST_USE;
