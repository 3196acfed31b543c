#include "lib/base/base64.h"

#include <stdint.h>

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_encode(struct slice octets, struct buf *to)
{
    while (octets.len > 0) {
        struct slice part = slice_head(octets, 3);
        uint32_t bits = 0;

        for (size_t i = 0; i < 3; i++)
            bits = bits << 8 | (i < part.len ? (unsigned char)part.ptr[i] : 0);
        for (size_t i = 0; i < 4; i++)
            buf_add_octet(to,
                i <= part.len ? (unsigned char)digits[bits >> (18 - 6 * i) & 63]
                              : '=');
        octets = slice_skip(octets, part.len);
    }
}

static int
value_of(char c)
{
    const char *hit = c == '\0' ? NULL : strchr(digits, c);

    return hit == NULL ? -1 : (int)(hit - digits);
}

/* Four digits, of which the last two may be '='; the count of octets or 0. */
static size_t
decode_group(struct slice group, unsigned char octets[3])
{
    size_t used = 4;
    uint32_t bits = 0;

    while (used > 2 && group.ptr[used - 1] == '=')
        used--;
    for (size_t i = 0; i < 4; i++) {
        int value = i < used ? value_of(group.ptr[i]) : 0;

        if (value < 0)
            return 0;
        bits = bits << 6 | (uint32_t)value;
    }
    for (size_t i = 0; i < 3; i++)
        octets[i] = (unsigned char)(bits >> (16 - 8 * i));
    return used - 1;
}

bool
base64_decode(struct slice text, struct buf *to)
{
    const size_t before = to->len;

    for (; text.len >= 4; text = slice_skip(text, 4)) {
        unsigned char octets[3];
        size_t n = decode_group(slice_head(text, 4), octets);

        /* Padding ends the text. */
        if (n == 0 || (n < 3 && text.len > 4))
            break;
        buf_add(to, (struct slice){ (const char *)octets, n });
    }
    if (text.len == 0)
        return true;
    buf_truncate(to, before);
    return false;
}
