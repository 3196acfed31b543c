/*
 * memo_keeper - keeps the books of lib/table/memo for all processes.
 *
 * Questions are answered from memory; what is new goes to the files a second
 * later, on another thread. Where the books are is settled when the process
 * starts: a changed address_verify_map or postscreen_cache_map counts from the
 * next start.
 */
#pragma once

#include "lib/config/config.h"
#include "lib/ipc/link.h"
#include "lib/table/memo.h"

enum memo_place {
    MEMO_IN_FILES,
    MEMO_IN_MEMORY, /* another lookup may have the files */
};

/*
 * The first time the books begin to be read; questions wait for that, for some
 * seconds at most. Trouble with files is logged. Does not wait.
 */
void memo_keeper_configure(const struct config_set *set, enum memo_place place)
    ATTR_NONNULL;

/*
 * What there is to write is written, and the files are closed, if that is done
 * by the deadline. Waits.
 */
void memo_keeper_close(int64_t deadline_ms);

struct book;
/*
 * The book itself, for those in this process who know what its records mean: it
 * is good until they wait. NULL: there is none. Waits while the books are read.
 */
struct book *memo_keeper_book(enum memo_book book);

/* Something in it is new. */
void memo_keeper_write(void);

/* Serve MEMO_ASK and MEMO_KEEP, of books that others know the meaning of. */
void memo_keeper_ask(struct request *r) ATTR_NONNULL;
void memo_keeper_keep(struct request *r) ATTR_NONNULL;
