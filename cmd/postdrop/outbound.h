/*
 * outbound - a message that postdrop(1) has taken in: a file in maildrop/, under
 * a name that nobody looks at until it is complete.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/mail/drop.h"

#include <stdint.h>

struct outbound {
    int dir; /* maildrop/ */
    int fd;
    char name[DROP_NAME_MAX];
    char hidden[DROP_NAME_MAX + 8];
    uint64_t octets;
};

/* The file is removed when a signal ends the process. */
enum result outbound_create(const struct config *config, struct outbound *o,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
enum result outbound_write(struct outbound *o, struct buf *octets,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

enum outbound_end {
    OUTBOUND_TAKEN,   /* smtpd has it */
    OUTBOUND_REFUSED, /* for good: answer has the reason */
    OUTBOUND_UNKNOWN, /* nobody is there, or said what became of it */
};

/* Hand it over at public/pickup. */
enum outbound_end outbound_hand_over(struct outbound *o,
    const struct config *config, struct drop_answer *answer) ATTR_NONNULL;

/* Make it durable under the name at which smtpd looks. */
enum result outbound_keep(struct outbound *o, const struct config *config,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

void outbound_remove(struct outbound *o) ATTR_NONNULL;
