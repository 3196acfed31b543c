/*
 * quiet_open - for spool_open(), where a test has no use for what is found and
 * damage is a failure.
 */
#pragma once

#include "qmgr/spool/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static bool
found_nothing(void *context, const struct spool_found *f, struct why *why)
{
    (void)context;
    (void)f;
    (void)why;
    return true;
}

static void
no_damage(void *context, const char *text)
{
    (void)context;
    fail_msg("%s", text);
}
