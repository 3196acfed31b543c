/*
 * crc32c - Castagnoli CRC (RFC 3720 appendix B.4) of what goes to disk or is
 * lent to another process. Uses the processor's instruction where there is one.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Start with crc 0; feed the result back to go on. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);
