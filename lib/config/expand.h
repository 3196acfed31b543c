/*
 * expand - $name and its kin in the values of main.cf, as postconf(5) has them.
 *
 * config_expand() of config.h is the everyday entry; here is what lib/config
 * and postconf need besides.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>

enum {
    EXPAND_DEPTH_MAX = 100,   /* values within values, braces within braces */
    EXPAND_STEPS_MAX = 20000, /* references followed for one value */
    EXPAND_OCTETS_MAX = 1 << 20, /* of one expanded value */
};

/*
 * Call found() for each parameter that text names directly, in all branches of
 * all conditions.
 */
typedef void (*expand_name_fn)(void *context, struct slice name);
enum result expand_names(struct slice text, expand_name_fn found, void *context,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Values of compatibility_level: "2", "3.6", "3.6.1" compare part by part.
 * Below 0, 0 or above 0 in *order; false where one is none.
 */
bool expand_compare_levels(struct slice a, struct slice b, int *order)
    ATTR_NONNULL ATTR_MUST_USE;
