/*
 * verify_book - what the book of verified addresses means (verify(8)): what is
 * known, for how long, and when to probe anew.
 *
 * A record is "CODE:PROBED:UPDATED:TEXT": enum verified; when a probe was sent
 * whose result has not come (0: none is under way) and when the result came that
 * stands here, in seconds since 1970; then the reply. The key is the address, in
 * lower case.
 *
 * A probe is given up for lost after 1000 s. Until then no other is sent, and
 * what was known stays known, whatever its age. A failed probe does not replace
 * a success that has not expired.
 */
#pragma once

#include "lib/config/config.h"
#include "lib/mail/verification.h"
#include "lookup/book.h"

struct verify_rules {
    int64_t positive_expire_s, positive_refresh_s;
    int64_t negative_expire_s, negative_refresh_s;
    bool keeps_negative; /* address_verify_negative_cache */
};

/* config is that of the service verify. */
void verify_rules_read(struct verify_rules *rules, const struct config *config)
    ATTR_NONNULL;

/* The key of address; b is cleared. Empty: none, it is too long. */
struct slice verify_key(struct slice address, struct buf *b) ATTR_NONNULL;

/*
 * What is known. a->text borrows from the book until it is changed. With
 * may_probe a probe that is due is taken for sent from now on; none is due while
 * the book has no room to say so.
 */
void verify_book_ask(struct book *b, const struct verify_rules *rules,
    struct slice key, bool may_probe, int64_t now_s, struct verify_answer *a)
    ATTR_NONNULL;

/* A probe is over. */
void verify_book_found(struct book *b, const struct verify_rules *rules,
    struct slice key, const struct verify_result *r, int64_t now_s)
    ATTR_NONNULL;

/* It was not sent after all. */
void verify_book_lost(struct book *b, const struct verify_rules *rules,
    struct slice key, int64_t now_s) ATTR_NONNULL;
