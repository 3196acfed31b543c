/*
 * dialogue - sendmail -bs: SMTP between standard input and output and smtpd's
 * socket for users.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"

/* The exit status. When smtpd does not run the client is told so. */
int dialogue_run(const struct config *config) ATTR_NONNULL;
