/*
 * value - the texts of parameter values as booleans, numbers, sizes and times.
 *
 * config_parse_time() and config_list_next() of config.h live here too.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* "yes" or "no", in any case. */
bool value_parse_bool(struct slice text, bool *yes) ATTR_NONNULL ATTR_MUST_USE;

/* Decimal digits, perhaps with a sign. */
bool value_parse_int(struct slice text, int64_t *n) ATTR_NONNULL ATTR_MUST_USE;

/* Octets: digits, perhaps with k, m or g (powers of 1024). */
bool value_parse_size(struct slice text, int64_t *octets)
    ATTR_NONNULL ATTR_MUST_USE;

/* The unit of a default such as "5d" or "${stress?{10}:{300}}s"; 's' if none. */
char value_time_unit(const char *text) ATTR_NONNULL;

/*
 * The next word: it ends at a separator outside all braces. False at the end.
 */
bool config_word_next(struct slice *rest, const char *separators,
    struct slice *word) ATTR_NONNULL;
