/*
 * kept_log - what was logged, for tests that look at it.
 */
#pragma once

#include "lib/base/log.h"

#include <stdio.h>
#include <string.h>

static char logged[16384]; /* lines; a test empties it */

/* For log_set_sink(). */
static inline void
keep_log(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    size_t used = strlen(logged);

    (void)context;
    (void)level;
    (void)tag;
    (void)snprintf(logged + used, sizeof(logged) - used, SLICE_FMT "\n",
        SLICE_ARG(line));
}
