/*
 * random - jitter and tokens. A test sets a seed and gets the same sequence
 * each time; otherwise the numbers come from the kernel and cannot be guessed.
 */
#pragma once

#include <stdint.h>

uint64_t random_u64(void);

/* Evenly in 0 .. below-1; below is not 0. */
uint64_t random_below(uint64_t below);

/* From now on a fixed sequence (tests, the simulator); one thread only. */
void random_set_seed(uint64_t seed);
