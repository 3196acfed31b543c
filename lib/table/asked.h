/*
 * asked - a table over the network as the other daemons see it: each lookup is
 * a question to lookup (TABLE_ASK, TABLE_ANSWER). Both ends are here.
 */
#pragma once

#include "lib/ipc/link.h"
#include "lib/table/table_type.h"

/* In the place of the table's own type. */
extern const struct table_type table_type_asked;

/* Is this process one that asks? Commands and lookup itself do not. */
bool asked_of_lookup(void);

/* "proxy:" is not in spec. */
struct asked {
    struct slice spec, key;
};
bool asked_decode(struct slice in, struct asked *q) ATTR_NONNULL ATTR_MUST_USE;
void asked_answer(enum table_status status, struct slice value,
    const struct why *why, struct msg *m) ATTR_NONNULL;
