#include "lib/base/printable.h"

/*
 * RFC 3629 section 4, without U+0080..U+009F, which are control characters. The
 * second octet's range leaves out forms that are longer than they need be (an
 * LF in disguise), surrogates and what lies above U+10FFFF.
 */
static const struct {
    unsigned char first_min, first_max, second_min, second_max, length;
} utf8[] = {
    { 0xc2, 0xc2, 0xa0, 0xbf, 2 },
    { 0xc3, 0xdf, 0x80, 0xbf, 2 },
    { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
    { 0xe1, 0xec, 0x80, 0xbf, 3 },
    { 0xed, 0xed, 0x80, 0x9f, 3 },
    { 0xee, 0xef, 0x80, 0xbf, 3 },
    { 0xf0, 0xf0, 0x90, 0xbf, 4 },
    { 0xf1, 0xf3, 0x80, 0xbf, 4 },
    { 0xf4, 0xf4, 0x80, 0x8f, 4 },
};

/* Octets of the UTF-8 sequence at s, 0 when it is not one. */
static size_t
utf8_length(const unsigned char *s, size_t len)
{
    size_t row = 0, rows = sizeof(utf8) / sizeof(utf8[0]), n;

    while (row < rows && s[0] > utf8[row].first_max)
        row++;
    n = row < rows && s[0] >= utf8[row].first_min ? utf8[row].length : 0;
    if (n == 0 || n > len || s[1] < utf8[row].second_min ||
        s[1] > utf8[row].second_max)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

size_t
printable_length(struct slice text)
{
    const unsigned char *s = (const unsigned char *)text.ptr;

    if (s[0] < 0x80)
        return s[0] >= ' ' && s[0] != 0x7f;
    return utf8_length(s, text.len);
}

void
printable_make(char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = printable_length((struct slice){ text + i, len - i });

        if (n == 0)
            text[i] = '?';
        i += n == 0 ? 1 : n;
    }
}

void
printable_add(struct slice text, struct buf *to)
{
    char *at = text.len == 0 ? NULL : buf_reserve(to, text.len);

    if (at == NULL)
        return;
    memcpy(at, text.ptr, text.len);
    printable_make(at, text.len);
    buf_advance(to, text.len);
}

bool
utf8_is_valid(struct slice text)
{
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.ptr[i];
        size_t n = c < 0x80 ? 1 : printable_length(slice_skip(text, i));

        if (n == 0)
            return false;
        i += n;
    }
    return true;
}
