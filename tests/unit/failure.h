/*
 * failure - what went wrong first, for tests whose work is done in fibers: a
 * failed cmocka assertion would jump across stacks. The test looks at the end.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdarg.h>
#include <stdio.h>

static char failed[512]; /* "": nothing */

ATTR_PRINTF(1, 2)
static inline void
failure(const char *fmt, ...)
{
    va_list ap;

    if (failed[0] != '\0')
        return;
    va_start(ap, fmt);
    (void)vsnprintf(failed, sizeof(failed), fmt, ap);
    va_end(ap);
}
