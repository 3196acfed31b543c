/*
 * esmtp - the parameters behind the address of MAIL FROM and RCPT TO.
 *
 * What is not announced is refused. Values are checked here and nowhere else.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/mail/envelope.h"
#include "smtpd/refusal.h"

#include <stdbool.h>
#include <stdint.h>

/* What was announced, and may be used. */
enum esmtp_feature {
    ESMTP_DSN = 1 << 0,
    ESMTP_SMTPUTF8 = 1 << 1,
    ESMTP_BINARYMIME = 1 << 2,
};

struct mail_parameters {
    uint64_t size;  /* SIZE= (RFC 1870); 0: not given */
    bool eight_bit; /* BODY=8BITMIME */
    bool binary;    /* BODY=BINARYMIME (RFC 3030 section 3) */
    bool utf8;      /* SMTPUTF8 (RFC 6531) */
    enum dsn_ret ret;
    struct slice envid; /* decoded, in the arena */
};

struct rcpt_parameters {
    uint32_t notify;    /* set of enum dsn_notify; 0: not given */
    struct slice orcpt; /* "type;address" decoded, in the arena */
};

/*
 * words is what follows the address; features a set of enum esmtp_feature. True: all is known and well formed. False:
 * *no is the reply.
 */
bool mail_parameters_parse(struct slice words, unsigned features,
    struct arena *arena, struct mail_parameters *p, struct refusal *no)
    ATTR_NONNULL ATTR_MUST_USE;
bool rcpt_parameters_parse(struct slice words, unsigned features,
    struct arena *arena, struct rcpt_parameters *p, struct refusal *no)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * smtputf8_autodetect_classes: is mail from this source ("sendmail", "smtpd")
 * to be taken for SMTPUTF8 where its header is UTF-8, though nobody said so? The
 * envelope then says ENVELOPE_UTF8, and who sends it on looks at the header.
 */
bool esmtp_autodetects_utf8(const struct config *config, const char *source)
    ATTR_NONNULL;
