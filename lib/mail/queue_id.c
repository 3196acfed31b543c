#include "lib/mail/queue_id.h"

#include "lib/base/num.h"

#include <ctype.h>
#include <stdio.h>

enum {
    COUNT_BITS = 10,
    SECONDS_CHARS = 6,
    MICROS_CHARS = 4,
    LONG_MIN_CHARS = SECONDS_CHARS + MICROS_CHARS + 2, /* 'z' and a count */
    BASE_TIME = 52,
    WELL_FORMED_MAX = 100,
    BASE_COUNT = 51, /* without 'z', which marks where the count begins */
};

/* No vowels, so that no id spells a word; Postfix's order. */
static const char digits[] =
    "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

static char *
write_base(char *end, uint64_t value, unsigned base, size_t least)
{
    char *p = end;

    while (value > 0 || (size_t)(end - p) < least) {
        /* cppcheck-suppress zerodivcond ; base is BASE_TIME or BASE_COUNT */
        *--p = digits[value % base];
        value /= base;
    }
    return p;
}

const char *
queue_id_text(uint64_t id, bool long_form, char text[QUEUE_ID_SIZE])
{
    uint64_t us = id >> COUNT_BITS;
    uint64_t count = id & ((1U << COUNT_BITS) - 1);
    char scratch[64], *end = scratch + sizeof(scratch) - 1, *p = end;

    if (!long_form) {
        (void)snprintf(text, QUEUE_ID_SIZE, "%llX", (unsigned long long)id);
        return text;
    }
    *end = '\0';
    p = write_base(p, count, BASE_COUNT, 1);
    *--p = 'z';
    p = write_base(p, us % 1000000, BASE_TIME, MICROS_CHARS);
    p = write_base(p, us / 1000000, BASE_TIME, SECONDS_CHARS);
    (void)snprintf(text, QUEUE_ID_SIZE, "%s", p);
    return text;
}

static bool
read_base(struct slice s, unsigned base, uint64_t *value)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        const char *d = s.ptr[i] == '\0' ? NULL : strchr(digits, s.ptr[i]);

        if (d == NULL || (unsigned)(d - digits) >= base ||
            __builtin_mul_overflow(n, base, &n) ||
            __builtin_add_overflow(n, (uint64_t)(d - digits), &n))
            return false;
    }
    *value = n;
    return s.len > 0;
}

bool
queue_id_is_well_formed(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!isalnum((unsigned char)text.ptr[i]) && text.ptr[i] != '_')
            return false;
    return text.len > 0 && text.len <= WELL_FORMED_MAX;
}

/* An id is one text: hexadecimal is in upper case. */
static bool
has_lower_case(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (islower((unsigned char)text.ptr[i]))
            return true;
    return false;
}

/* No hexadecimal number has a 'z': the two forms cannot be confused. */
bool
queue_id_parse(struct slice text, uint64_t *id)
{
    size_t z = slice_rfind(text, 'z');
    uint64_t seconds, us, count;

    if (text.len >= QUEUE_ID_SIZE)
        return false;
    if (z == text.len)
        return !has_lower_case(text) && num_parse_hex(text, UINT64_MAX, id) &&
            *id != 0;
    if (text.len < LONG_MIN_CHARS || z < SECONDS_CHARS + MICROS_CHARS ||
        !read_base(slice_head(text, z - MICROS_CHARS), BASE_TIME, &seconds) ||
        !read_base((struct slice){ text.ptr + z - MICROS_CHARS, MICROS_CHARS },
            BASE_TIME, &us) ||
        !read_base(slice_skip(text, z + 1), BASE_COUNT, &count))
        return false;
    if (us >= 1000000 || count >= 1U << COUNT_BITS ||
        __builtin_mul_overflow(seconds, 1000000, &seconds) ||
        __builtin_add_overflow(seconds, us, &us) ||
        us >= UINT64_MAX >> COUNT_BITS)
        return false;
    *id = us << COUNT_BITS | count;
    return *id != 0;
}

int64_t
queue_id_time_us(uint64_t id)
{
    return (int64_t)(id >> COUNT_BITS);
}
