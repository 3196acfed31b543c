#include "lib/base/crc32c.h"

#include <stdbool.h>
#include <string.h>

enum { POLYNOMIAL = (int)0x82f63b78 };

static uint32_t
crc_portable(uint32_t crc, const unsigned char *p, size_t len)
{
    while (len-- > 0) {
        crc ^= *p++;
        for (unsigned bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((uint32_t)POLYNOMIAL & (0U - (crc & 1)));
    }
    return crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t
crc_sse42(uint32_t crc, const unsigned char *p, size_t len)
{
    uint64_t wide = crc, word;

    for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        wide = __builtin_ia32_crc32di(wide, word);
    }
    crc = (uint32_t)wide;
    while (len-- > 0)
        crc = __builtin_ia32_crc32qi(crc, *p++);
    return crc;
}

static bool
have_sse42(void)
{
    return __builtin_cpu_supports("sse4.2") != 0;
}

#else

static uint32_t
crc_sse42(uint32_t crc, const unsigned char *p, size_t len)
{
    return crc_portable(crc, p, len);
}

static bool
have_sse42(void)
{
    return false;
}

#endif

uint32_t
crc32c(uint32_t crc, const void *data, size_t len)
{
    crc = ~crc;
    crc = have_sse42() ? crc_sse42(crc, data, len)
                       : crc_portable(crc, data, len);
    return ~crc;
}
