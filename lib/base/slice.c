#include "lib/base/slice.h"

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct slice
slice_trim(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = slice_skip(s, 1);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

static bool
is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

struct slice
slice_without_line_end(struct slice line)
{
    if (line.len > 0 && line.ptr[line.len - 1] == '\n')
        line.len--;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

bool
slice_is_digits(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0;
}

bool
slice_is_ascii(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] > 127)
            return false;
    return true;
}

bool
slice_word(struct slice *rest, const char *separators, struct slice *word)
{
    size_t n = 0;

    while (rest->len > 0 && is_one_of(rest->ptr[0], separators))
        *rest = slice_skip(*rest, 1);
    while (n < rest->len && !is_one_of(rest->ptr[n], separators))
        n++;
    *word = slice_head(*rest, n);
    *rest = slice_skip(*rest, n);
    return n > 0;
}

bool
slice_line(struct slice *rest, struct slice *line)
{
    size_t n;

    if (rest->len == 0)
        return false;
    n = slice_find(*rest, '\n');
    *line = slice_head(*rest, n);
    *rest = slice_skip(*rest, n + 1);
    if (line->len > 0 && line->ptr[line->len - 1] == '\r')
        line->len--;
    return true;
}
