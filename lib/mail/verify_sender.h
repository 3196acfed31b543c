/*
 * verify_sender - the sender of probes: address_verify_sender and
 * address_verify_sender_ttl.
 *
 * With a ttl its local part ends in a number that changes each time that the ttl
 * has passed: an address that spammers harvest is soon of no use.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

#include <stdbool.h>

/*
 * config names the sender, rewrite is that of the rewrite service. *address is
 * in standard form, in arena or borrowed from config; empty: the null sender.
 */
enum result verify_sender_make(const struct config *config,
    const struct config *rewrite, int64_t now_s, struct arena *arena,
    struct slice *address, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Is address, in standard form, such a sender, of now, of the time before or, by
 * another's clock, of the one to come? *plain is then the one without a number.
 */
bool verify_sender_is(const struct config *config, const struct config *rewrite,
    struct slice address, int64_t now_s, struct arena *arena,
    struct slice *plain) ATTR_NONNULL ATTR_MUST_USE;
