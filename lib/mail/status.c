#include "lib/mail/status.h"

#include <stdio.h>

enum { PART_MAX = 3 }; /* digits, RFC 3463 section 2 */

static bool
is_part(struct slice s)
{
    return s.len <= PART_MAX && slice_is_digits(s);
}

struct slice
status_split(struct slice text, const char *fallback, char status[STATUS_SIZE])
{
    struct slice code = slice_head(text, slice_find(text, ' '));
    struct slice rest = slice_skip(code, 2);
    struct slice subject = slice_head(rest, slice_find(rest, '.'));
    struct slice detail = slice_skip(rest, subject.len + 1);

    if (code.len < 5 || code.ptr[1] != '.' || code.ptr[0] < '2' ||
        code.ptr[0] > '5' || !is_part(subject) || !is_part(detail)) {
        (void)snprintf(status, STATUS_SIZE, "%s", fallback);
        return text;
    }
    (void)snprintf(status, STATUS_SIZE, "%c." SLICE_FMT "." SLICE_FMT,
        fallback[0], SLICE_ARG(subject), SLICE_ARG(detail));
    return slice_trim(slice_skip(text, code.len));
}
