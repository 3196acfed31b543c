/*
 * num - numbers from outside: digits only, range checked, nothing left over.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>
#include <stdint.h>

/* False, and *n untouched, unless s is 1 or more digits of a value <= max. */
bool num_parse_u32(struct slice s, uint32_t max, uint32_t *n)
    ATTR_NONNULL ATTR_MUST_USE;
bool num_parse_u64(struct slice s, uint64_t max, uint64_t *n)
    ATTR_NONNULL ATTR_MUST_USE;

/* Hexadecimal digits of either case. */
bool num_parse_hex(struct slice s, uint64_t max, uint64_t *n)
    ATTR_NONNULL ATTR_MUST_USE;
