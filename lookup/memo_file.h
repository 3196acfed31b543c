/*
 * memo_file - the books (lib/table/memo) on disk: Berkeley DB files in one
 * transactional environment, whose log lies in data_directory/memo.
 *
 * One process uses it, one call at a time; the calls block: see offload(). A
 * crash loses what was written since the last memo_file_sync() at most. What
 * cannot be read is thrown away and begun anew, since nothing depends on it.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdint.h>

struct memo_file;

/* Each record that has not ended, while the files are opened. */
typedef void (*memo_load_fn)(void *context, unsigned book, struct slice key,
    struct slice value, int64_t end_s);

/*
 * paths[i] is the file of book i, without ".db"; NULL: it has none. RESULT_OK,
 * or why there cannot be files (then the books are in memory alone).
 */
enum result memo_file_open(const char *directory, const char *const *paths,
    unsigned books, memo_load_fn load, void *context, struct memo_file **file,
    struct why *why) __attribute__((nonnull(1, 2, 4, 6, 7))) ATTR_MUST_USE;

/* What is written is on disk. NULL is welcome. */
void memo_file_close(struct memo_file *file);

/* One transaction around the writes. */
enum result memo_file_begin(struct memo_file *file, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
/* end_s 0: delete. After a failure the rest do nothing. */
void memo_file_write(struct memo_file *file, unsigned book, struct slice key,
    struct slice value, int64_t end_s) ATTR_NONNULL;
enum result memo_file_end(struct memo_file *file, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
