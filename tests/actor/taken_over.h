/*
 * taken_over - what a daemon that was taken over can do under the real master:
 * it is started, linked and drained like the one that it stands in for.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <stdint.h>

enum { TAKEN_LINKS_MAX = 4096, TAKEN_WAIT_MS = 20000 };

struct taken_over {
    int links[TAKEN_LINKS_MAX];
    enum role peers[TAKEN_LINKS_MAX]; /* at their other ends */
    unsigned count, expected, index;
};

/* Take what master says until all links are there; then say READY. */
void taken_over_begin(struct taken_over *t);

/* One order of master; false: drained, or master is gone. */
bool taken_over_obey(struct taken_over *t);

/* Where master is heard. */
int taken_over_master(void);

/* The number in the file "rogue" of the configuration directory, else index. */
unsigned taken_over_number(const struct taken_over *t);

/* Groups within groups, numbers of any size, texts of any octets. */
void put_random_attributes(struct buf *body, unsigned depth);
void put_random_octets(struct buf *body);
