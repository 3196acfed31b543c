/*
 * destinations - where mail goes and what holds it up, as postqueue
 * --destinations prints it.
 */
#pragma once

#include "lib/mail/queue_control.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct destinations {
    FILE *to;
    bool json;
    uint64_t count;
};

void destinations_item(struct destinations *l,
    const struct queue_destination *d);
void destinations_end(struct destinations *l);
