/*
 * command - MAIL and RCPT as they stand on a line to a server, with the
 * parameters that its extensions allow: SIZE, 8BITMIME, SMTPUTF8, DSN.
 */
#pragma once

#include "smtp/job.h"
#include "smtp/session.h"

enum {
    COMMAND_MAX = 1024 + 2 * 4 * 512, /* an address, and two encoded values */
};

/*
 * Added to line, without its end; features are SESSION_... of the server. False:
 * the address cannot stand on a command line.
 */
bool command_mail(const struct job *job, unsigned features, struct buf *line)
    ATTR_NONNULL ATTR_MUST_USE;
bool command_rcpt(const struct job *job, unsigned features,
    const struct recipient *r, struct buf *line) ATTR_NONNULL ATTR_MUST_USE;

/*
 * RFC 6531 section 3.1: addresses in UTF-8, or a header in it whose sender said
 * so; 8-bit headers of others are passed on as they always were.
 */
bool command_needs_smtputf8(const struct job *job) ATTR_NONNULL ATTR_MUST_USE;
