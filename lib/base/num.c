#include "lib/base/num.h"

static int
digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 99;
}

static bool
parse(struct slice s, unsigned base, uint64_t max, uint64_t *n)
{
    uint64_t value = 0;

    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)digit_value(s.ptr[i]);

        if (digit >= base || __builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, digit, &value) || value > max)
            return false;
    }
    *n = value;
    return true;
}

bool
num_parse_u64(struct slice s, uint64_t max, uint64_t *n)
{
    return parse(s, 10, max, n);
}

bool
num_parse_u32(struct slice s, uint32_t max, uint32_t *n)
{
    uint64_t value;

    if (!parse(s, 10, max, &value))
        return false;
    *n = (uint32_t)value;
    return true;
}

bool
num_parse_hex(struct slice s, uint64_t max, uint64_t *n)
{
    return parse(s, 16, max, n);
}
