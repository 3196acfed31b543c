/*
 * requeue - postsuper -r: a message of the queue goes through clean-up once more,
 * under a new id, so that changed rewriting, virtual aliases and header checks
 * take effect. Its recipients are again what they were when it came in.
 *
 * Like a notice it is one transaction: the new message is in the queue and the
 * recipients of the old one are settled, or nothing has happened.
 */
#pragma once

#include "lib/config/config.h"
#include "lib/mail/notice.h"
#include "lib/mail/submission.h"

/*
 * n is NOTICE_REQUEUE. pickup writes the log and has the overrides, as in
 * Postfix. Waits.
 */
enum result requeue(struct config_set *set, const struct notice *n,
    struct arena *arena, int64_t deadline_ms, const struct settlement *settles,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
