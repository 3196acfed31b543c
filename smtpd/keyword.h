/*
 * keyword - what EHLO announces, and what of it is kept back
 * (smtpd_discard_ehlo_keywords).
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>

struct session;

enum keyword_bit {
    KEYWORD_8BITMIME = 1 << 0,
    KEYWORD_AUTH = 1 << 1,
    KEYWORD_ETRN = 1 << 2,
    KEYWORD_PIPELINING = 1 << 3,
    KEYWORD_SIZE = 1 << 4,
    KEYWORD_STARTTLS = 1 << 5,
    KEYWORD_VERP = 1 << 6,
    KEYWORD_VRFY = 1 << 7,
    KEYWORD_XCLIENT = 1 << 8,
    KEYWORD_XFORWARD = 1 << 9,
    KEYWORD_ENHANCEDSTATUSCODES = 1 << 10,
    KEYWORD_DSN = 1 << 11,
    KEYWORD_SMTPUTF8 = 1 << 12,
    KEYWORD_CHUNKING = 1 << 13,
    KEYWORD_LIMITS = 1 << 14,
    KEYWORD_BINARYMIME = 1 << 15,
    KEYWORD_LAST = KEYWORD_BINARYMIME,
};

/*
 * What is kept back from this client: s->discarded. It counts from the greeting
 * on, since who says HELO may use the commands and parameters as well. Waits.
 */
void keywords_choose(struct session *s) ATTR_NONNULL;

/* At EHLO: the same anew, and the reply. Waits. */
void keywords_announce(struct session *s) ATTR_NONNULL;

/*
 * Was it kept back from this client? BINARYMIME is, too, where CHUNKING is, which
 * it needs (RFC 3030 section 3).
 */
bool keyword_is_discarded(const struct session *s, enum keyword_bit k)
    ATTR_NONNULL;
