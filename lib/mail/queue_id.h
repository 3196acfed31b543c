/*
 * queue_id - the name of a message: a 64-bit number, unique for the life of a
 * spool, the same in reply, log, Received: and commands.
 *
 * The number is microseconds since 1970 times 1024 plus a count. Written in the
 * long form of enable_long_queue_ids (time in base 52, then 'z' and the count
 * in base 51, as Postfix's readers expect: six characters of seconds, four of
 * microseconds), or as upper-case hexadecimal.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

enum { QUEUE_ID_SIZE = 24 }; /* of the text, NUL included */

const char *queue_id_text(uint64_t id, bool long_form, char text[QUEUE_ID_SIZE])
    ATTR_NONNULL;

/* Either form. False when text is none. */
bool queue_id_parse(struct slice text, uint64_t *id) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Could it be the id of some message, of Postfix's too? Then that none of ours
 * has it is no mistake.
 */
bool queue_id_is_well_formed(struct slice text);

/* The time that is part of id, in microseconds since 1970. */
int64_t queue_id_time_us(uint64_t id);
