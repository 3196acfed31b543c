/*
 * pickup - mail from this machine's users: at public/pickup while we run, and
 * what waits in maildrop/ from when we did not.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

/* One postdrop(1) at public/pickup. Owns fd. Waits. */
void pickup_serve(int fd, struct config_set *set) ATTR_NONNULL;

/* The first process of the pool looks after maildrop/. */
enum result pickup_begin(struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Look now. */
void pickup_wake(void);

/* No more files; the one at hand is finished. */
void pickup_end(void);
