/*
 * parameter - the table of parameters.def as data: found by name, near names,
 * and the names that a delivery service in master.cf makes (slow_time_limit).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum parameter_type {
    PARAMETER_STR,
    PARAMETER_RAW,
    PARAMETER_BOOL,
    PARAMETER_INT,
    PARAMETER_SIZE,
    PARAMETER_TIME,
};

enum parameter_state {
    STATE_BUILT,
    STATE_PENDING,
    STATE_SECURITY,
    STATE_OBSOLETE,
};

struct parameter {
    const char *name;
    const char *fallback; /* the default, unexpanded */
    const char *programs; /* whose master.cf lines may override it */
    const char *description;
    int64_t low, high; /* times: seconds; high 0: none */
    size_t offset;     /* of the field in struct config */
    enum parameter_type type;
    enum parameter_state state;
};

enum { PARAMETER_NAME_MAX = 128 }; /* octets of any name in main.cf */

/* Sorted by name. */
size_t parameter_count(void);
const struct parameter *parameter_at(size_t i) ATTR_MUST_USE;

/* NULL: no such name. */
const struct parameter *parameter_find(struct slice name) ATTR_MUST_USE;

/* The suffixes of TRANSPORT_PARAM: name is the suffix. */
size_t parameter_suffix_count(void);
const struct parameter *parameter_suffix_at(size_t i) ATTR_MUST_USE;

/* For "slow_destination_rate_delay": the suffix, and *transport "slow". */
const struct parameter *parameter_find_suffix(struct slice name,
    struct slice *transport) ATTR_NONNULL ATTR_MUST_USE;

/* The known name that is spelled most like name; NULL if none is near. */
const char *parameter_nearest(struct slice name) ATTR_MUST_USE;

/* The lmtp_ parameter that takes the place of an smtp_ one; NULL if none. */
const struct parameter *parameter_lmtp_twin(const struct parameter *p)
    ATTR_NONNULL ATTR_MUST_USE;

/* The postscreen_ parameter that takes the place of p; NULL if none. */
const struct parameter *parameter_screen_twin(const struct parameter *p)
    ATTR_NONNULL ATTR_MUST_USE;

/* Whether a program of Postfix ("smtpd") obeys p. */
bool parameter_applies(const struct parameter *p, const char *program)
    ATTR_NONNULL;
