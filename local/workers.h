/*
 * workers - the brain's side of the processes that act as users.
 *
 * A worker is made when a user has mail and lives for some seconds after his
 * last delivery, so that a burst is served, and flushed, by one process.
 */
#pragma once

#include "lib/base/why.h"
#include "local/keeper.h"
#include "local/mailbox.h"

/* Takes the brain's end of the keeper's socket. The process ends with the keeper. */
bool workers_open(int keeper) ATTR_MUST_USE;

/*
 * Have s stored as user. s->content.fd is used up. RESULT_OK: it is flushed and
 * in its mailbox. Waits.
 */
enum result workers_store(const struct keeper_user *user,
    struct mailbox_store *s, int64_t deadline, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
