/*
 * count - how often a client, a user or a sender did something lately, counted
 * by lookup for all smtpd processes (Postfix's anvil).
 *
 * A key is a text; its counters begin anew when anvil_rate_time_unit has passed
 * since their first event. Connections are counted for as long as they last;
 * those of a process that died are forgotten.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <stdint.h>

enum count_event {
    COUNT_CONNECT, /* a connection, which lasts until COUNT_DISCONNECT */
    COUNT_MAIL,
    COUNT_RCPT,
    COUNT_TLS,
    COUNT_AUTH,
    COUNT_RATES,                    /* the ones above have a rate */
    COUNT_DISCONNECT = COUNT_RATES, /* told, not asked */
    COUNT_AGAIN, /* told: a connection that the last lookup knew of */
    COUNT_EVENTS,
};

enum { COUNT_KEY_MAX = 512 };

struct count {
    uint32_t connections; /* at this moment, with this one */
    uint32_t rate;        /* of the event, with this one */
};

/*
 * Count, and say how often it was. False: nobody counts at this moment. Waits,
 * not long.
 */
bool count_ask(enum count_event event, struct slice key, struct count *count)
    ATTR_NONNULL ATTR_MUST_USE;

/* COUNT_DISCONNECT, COUNT_AGAIN. */
void count_tell(enum count_event event, struct slice key);

/* lookup's end; key borrows from in. False: malformed. */
bool count_decode(struct slice in, enum count_event *event, struct slice *key)
    ATTR_NONNULL ATTR_MUST_USE;
void count_encode(const struct count *count, struct msg *m) ATTR_NONNULL;
