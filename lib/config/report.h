/*
 * report - where the complaints of one load go, and how many were errors.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"

struct report {
    config_report_fn tell; /* may be NULL */
    void *context;
    const char *file; /* that the line numbers belong to */
    unsigned errors;
    char first[400]; /* the first error, for struct why */
};

/* line 0: the complaint is about no line of file. */
void report_warning(struct report *r, unsigned line, const char *fmt, ...)
    ATTR_PRINTF(3, 4);
void report_error(struct report *r, unsigned line, const char *fmt, ...)
    ATTR_PRINTF(3, 4);
