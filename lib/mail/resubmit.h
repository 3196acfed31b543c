/*
 * resubmit - what goes into mail that is made of mail in the queue (forwards,
 * notices): a trace of its own, and the content at hand.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/config/config.h"
#include "lib/mail/cleanup.h"
#include "lib/mail/content.h"

/* Received: (RFC 5321 section 4.4) of mail that came over no network. */
void resubmit_received(const struct config *config, uint64_t id, struct buf *to)
    ATTR_NONNULL;

/*
 * From where it stands to the end. RESULT_TEMPFAIL: it cannot be read or is not
 * what was lent. Waits as cleanup_content().
 */
enum result resubmit_content(struct content *content, struct cleanup *c,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
