#include "lib/mail/status.h"

#include <stdio.h>

static bool
is_digits(struct slice s, size_t most)
{
    if (s.len == 0 || s.len > most)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return true;
}

struct slice
status_split(struct slice text, const char *fallback, char status[STATUS_SIZE])
{
    struct slice code = slice_head(text, slice_find(text, ' '));
    struct slice rest = slice_skip(code, 2);
    struct slice subject = slice_head(rest, slice_find(rest, '.'));
    struct slice detail = slice_skip(rest, subject.len + 1);

    if (code.len < 5 || code.ptr[1] != '.' || code.ptr[0] < '2' ||
        code.ptr[0] > '5' || !is_digits(subject, 3) || !is_digits(detail, 3)) {
        (void)snprintf(status, STATUS_SIZE, "%s", fallback);
        return text;
    }
    (void)snprintf(status, STATUS_SIZE, "%c." SLICE_FMT "." SLICE_FMT,
        fallback[0], SLICE_ARG(subject), SLICE_ARG(detail));
    return slice_trim(slice_skip(text, code.len));
}
