/*
 * local_message - a message of a local user into the queue, as pickup(8) does.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/mail/drop.h"
#include "lib/mail/envelope.h"
#include "lib/mail/queue_id.h"

#include <sys/types.h>

enum { LOCAL_MESSAGE_ARENA_MAX = DROP_ARENA_MAX };

/*
 * Read the content behind head and submit. env was made harmless
 * (drop_sanitize()); its drop_file makes that it is accepted only once.
 * RESULT_OK: it is durable; id has its queue id. deadline is for the reading.
 * Waits.
 */
enum result local_message_submit(struct config_set *set,
    struct drop_reader *reader, int64_t deadline, uid_t uid,
    struct envelope *env, struct arena *arena, char id[QUEUE_ID_SIZE],
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
