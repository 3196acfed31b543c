#include "lib/base/json.h"

#include "lib/base/printable.h"

#include <string.h>

/* What has a letter of its own. */
static void
put_control(struct buf *to, unsigned char c)
{
    static const char octets[] = "\b\f\n\r\t", letters[] = "bfnrt";
    const char *at = c == '\0' ? NULL : strchr(octets, c);

    if (at != NULL)
        buf_add_format(to, "\\%c", letters[at - octets]);
    else
        buf_add_format(to, "\\u%04X", c);
}

void
json_text(struct buf *to, struct slice value)
{
    buf_add_octet(to, '"');
    while (value.len > 0) {
        unsigned char c = (unsigned char)value.ptr[0];
        size_t n = printable_length(value);

        if (c == '"' || c == '\\')
            buf_add_format(to, "\\%c", c);
        else if (n > 0)
            buf_add(to, slice_head(value, n));
        else if (c < ' ' || c == 127)
            put_control(to, c);
        else
            buf_add_octet(to, '?');
        value = slice_skip(value, n > 0 ? n : 1);
    }
    buf_add_octet(to, '"');
}

void
json_member(struct buf *to, const char *name, struct slice value)
{
    buf_add_format(to, "\"%s\": ", name);
    json_text(to, value);
}
