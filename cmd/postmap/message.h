/*
 * message - postmap -h, -b and -m: the keys that header_checks(5) and
 * body_checks would be asked for, out of a message at standard input.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>
#include <stdio.h>

enum message_keys {
    MESSAGE_HEADER = 1 << 0, /* -h: each header field, line ends kept */
    MESSAGE_BODY = 1 << 1,   /* -b: each line from the header's end on */
    MESSAGE_MIME = 1 << 2,   /* -m: header fields of parts too */
};

/* False ends the walk. */
typedef bool (*message_key_fn)(void *context, struct slice key);

/*
 * Without MESSAGE_MIME the header ends at the first line that is no field. With
 * it, the fields of parts and of attached messages are header keys and no body
 * keys.
 */
enum result message_each_key(FILE *from, unsigned keys, message_key_fn fn,
    void *context, struct why *why) __attribute__((nonnull(1, 3, 5)))
ATTR_MUST_USE;
