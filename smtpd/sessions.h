/*
 * sessions - from an accepted connection to a session and its end; and all that
 * are under way, so that a drain can end them.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"
#include "lib/io/sock.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Serve one client on the calling fiber: look up its name, log connect and
 * disconnect, and in between dialogue_run(). Owns fd. public: it is a user's
 * sendmail -bs. Waits.
 */
void sessions_serve(int fd, const struct sock_addr *addr,
    const struct service *service, struct config_set *set, bool public)
    __attribute__((nonnull(2, 4)));

/*
 * Sessions that wait for a command end at once with 421, the others when their
 * command is done, all of them at the deadline. Waits.
 */
void sessions_drain(int64_t deadline_ms);

/* A new lookup counts clients: tell it of those that are here. */
void sessions_count_again(void);
