/*
 * date - RFC 5322 section 3.3 date-time, with the zone of this machine.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdint.h>

enum { DATE_SIZE = 64 };

/* "Sat, 21 Nov 2026 20:05:11 +0000 (UTC)", as Postfix writes it. */
const char *date_text(int64_t seconds, char text[DATE_SIZE]) ATTR_NONNULL;
