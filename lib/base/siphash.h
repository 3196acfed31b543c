/*
 * siphash - SipHash-2-4 (Aumasson and Bernstein, 2012): 64 bits that nobody
 * without the key can guess for any octets. For proofs that are checked by
 * their maker.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdint.h>

enum { SIPHASH_KEY_SIZE = 16 };

uint64_t siphash(const unsigned char key[SIPHASH_KEY_SIZE], struct slice octets)
    ATTR_NONNULL;
