#include "lib/base/glob.h"

#include <stdint.h>

static char
fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The octet at *at and, unless it is a '*', whether it takes c. */
static bool
takes(struct slice pattern, size_t *at, char c)
{
    char want = pattern.ptr[*at];

    if (want == '?') {
        ++*at;
        return true;
    }
    if (want == '\\' && *at + 1 < pattern.len)
        want = pattern.ptr[++*at];
    ++*at;
    return fold(want) == fold(c);
}

/*
 * Only the last '*' is ever tried again with one octet more: what an earlier one
 * could take besides, the last one takes as well.
 */
bool
glob_match(struct slice pattern, struct slice text)
{
    size_t p = 0, t = 0, star = SIZE_MAX, taken = 0;

    while (t < text.len) {
        if (p < pattern.len && pattern.ptr[p] == '*') {
            star = ++p;
            taken = t;
        } else if (p < pattern.len && takes(pattern, &p, text.ptr[t])) {
            t++;
        } else if (star != SIZE_MAX) {
            p = star;
            t = ++taken;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.ptr[p] == '*')
        p++;
    return p == pattern.len;
}

bool
glob_is_plain(struct slice pattern)
{
    return slice_find(pattern, '*') == pattern.len &&
        slice_find(pattern, '?') == pattern.len &&
        slice_find(pattern, '\\') == pattern.len;
}
