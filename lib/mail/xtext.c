#include "lib/mail/xtext.h"

/* "+" is xtext's, "=" would end a parameter's name. */
static bool
is_plain(unsigned char c)
{
    return c > ' ' && c < 127 && c != '+' && c != '=';
}

/* The value of an upper-case hex digit; -1 when it is none. */
static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
xtext_decode(struct slice in, struct buf *to)
{
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.ptr[i];

        if (c == '+') {
            int high = i + 2 < in.len ? hex_digit(in.ptr[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_digit(in.ptr[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (unsigned char)(high * 16 + low);
            if (c < ' ' || c == 127)
                return false;
            i += 2;
        } else if (!is_plain(c) && c != '=') { /* taken by Postfix, too */
            return false;
        }
        buf_add_octet(to, c);
    }
    return !buf_failed(to);
}

void
xtext_encode(struct slice in, struct buf *to)
{
    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.ptr[i];

        if (is_plain(c))
            buf_add_octet(to, c);
        else
            buf_add_format(to, "+%02X", c);
    }
}
