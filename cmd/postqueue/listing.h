/*
 * listing - one message of the queue as postqueue -p and -j print it.
 */
#pragma once

#include "lib/mail/queue_control.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* What was listed so far. */
struct listing {
    FILE *to;
    bool json;
    bool long_ids;
    uint64_t count, octets;
};

/* Postfix's showq form, with the heading before the first one. */
void listing_item(struct listing *l, const struct queue_item *item);

/* The last line. JSON has none. */
void listing_end(struct listing *l);
