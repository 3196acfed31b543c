/*
 * delivery_log - the log line that says what became of a recipient.
 */
#pragma once

#include "lib/mail/delivery.h"

struct config;

/*
 * Postfix's form of a delay: seconds with two significant digits, no trailing
 * zeros, "0" for what rounds to nothing. resolution: digits behind the point
 * at most (delay_logging_resolution_limit).
 */
enum { DELAY_TEXT_SIZE = 24 };
const char *delivery_delay_text(int64_t us, int64_t resolution,
    char text[DELAY_TEXT_SIZE]) ATTR_NONNULL;

/*
 * The log line of one recipient, Postfix's words and order:
 * QID: to=<a>, orig_to=<b>, relay=r, delay=d, delays=a/b/c/d, dsn=s,
 * status=sent (text)
 */
struct delivery_times {
    int64_t start_us;     /* the agent began; wall clock, as all here */
    int64_t connected_us; /* session ready; 0: no connection set-up */
    int64_t done_us;
};
void delivery_log(const char *tag, const struct config *config,
    const struct delivery *d, const struct delivery_recipient *rcpt,
    const struct rcpt_result *r, const struct delivery_times *times)
    ATTR_NONNULL;
