/*
 * explain - what the restrictions would say of a session, without any mail:
 * "postern explain session" runs smtpd with this in place of master's life.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>

/* True: these are its arguments. */
bool explain_is_asked(int argc, char **argv) ATTR_NONNULL;

/* The exit status: 0 accepted, 1 refused, sysexits.h. */
int explain_main(int argc, char **argv) ATTR_NONNULL;
