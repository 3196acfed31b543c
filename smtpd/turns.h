/*
 * turns - how many messages of one local user are taken in at a time.
 *
 * Anybody may connect to public/pickup, and a message takes memory: whoever
 * connects often waits for his own turn, not the others for theirs. The rest of
 * his stays in maildrop/, where postdrop leaves what it is not rid of.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    TURNS_AT_A_TIME = 20, /* of one user in one process; root has no limit */
    TURNS_HERE_MAX = 200, /* connections of his, with those that wait */
};

/* A user connects. False: he has too many connections already. */
bool turns_enter(uid_t uid) ATTR_MUST_USE;
void turns_leave(uid_t uid);

/* One who entered wants to hand in. False: it takes too long. Waits. */
bool turn_take(uid_t uid, int64_t deadline) ATTR_MUST_USE;
void turn_give(uid_t uid);

/* Whoever waits gets none any more. */
void turns_end(void);
