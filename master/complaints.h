/*
 * complaints - what loading a configuration found, kept until there is a log
 * to write it to and for the command that asked.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/config/config.h"

struct complaints {
    struct buf text; /* a line each, the first octet its severity */
    unsigned errors;
};

void complaints_init(struct complaints *c) ATTR_NONNULL;
void complaints_fini(struct complaints *c) ATTR_NONNULL;

/* For config_load(); context is a struct complaints. */
void complaints_add(void *context, enum config_severity severity,
    const char *text);

/* A line of the log for each. */
void complaints_log(const struct complaints *c) ATTR_NONNULL;
