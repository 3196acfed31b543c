#include "cmd/sendmail/input.h"

#include <errno.h>
#include <unistd.h>

enum { READ_SIZE = 65536 };

void
input_init(struct input *i, int fd, bool ignore_dots)
{
    *i = (struct input){ .fd = fd, .ignore_dots = ignore_dots };
    buf_init(&i->in, 2 * READ_SIZE);
}

void
input_fini(struct input *i)
{
    buf_fini(&i->in);
}

/* False at the end of the file. */
static enum result
read_more(struct input *i, bool *more, struct why *why)
{
    char *room = buf_reserve(&i->in, READ_SIZE);
    ssize_t n;

    if (room == NULL)
        return why_temp(why, "4.3.0", "no memory for a message");
    do
        n = read(i->fd, room, READ_SIZE);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return why_errno(why, "read a message");
    buf_advance(&i->in, (size_t)n);
    *more = n > 0;
    return RESULT_OK;
}

static bool
is_dot(struct slice line)
{
    return slice_eq(line, SLICE_LIT(".")) || slice_eq(line, SLICE_LIT(".\r"));
}

/* "From joe Mon Jan ..." of an mbox is no header. */
static bool
is_mbox_from(struct slice line)
{
    if (line.len > 0 && line.ptr[0] == '>')
        line = slice_skip(line, 1);
    return slice_starts(line, SLICE_LIT("From "));
}

/* How much of in are whole lines in front of a lone dot. */
static size_t
lines_before_dot(struct input *i, struct slice in)
{
    size_t taken = 0;

    while (taken < in.len) {
        struct slice rest = slice_skip(in, taken);
        size_t lf = slice_find(rest, '\n');

        if (!i->ignore_dots && !i->mid_line && is_dot(slice_head(rest, lf))) {
            i->ended = true;
            break;
        }
        i->mid_line = lf == rest.len;
        taken += i->mid_line ? lf : lf + 1;
    }
    return taken;
}

/* Whole lines in the buffer; all of it at the end, or when no line ends. */
static struct slice
whole_lines(const struct input *i, bool more)
{
    struct slice in = buf_slice(&i->in);
    size_t lf = slice_rfind(in, '\n');

    if (!more || (lf == in.len && in.len >= READ_SIZE))
        return in;
    return lf < in.len ? slice_head(in, lf + 1) : slice_head(in, 0);
}

enum result
input_next(struct input *i, struct slice *lines, struct why *why)
{
    bool more = true;

    buf_consume(&i->in, i->given);
    i->given = 0;
    *lines = (struct slice){ NULL, 0 };
    while (!i->ended && lines->len == 0) {
        struct slice whole;

        if (more) {
            enum result res = read_more(i, &more, why);

            if (res != RESULT_OK)
                return res;
        }
        whole = whole_lines(i, more);
        if (!more && whole.len == 0)
            i->ended = true;
        if (whole.len == 0)
            continue;
        if (!i->begun && is_mbox_from(whole)) {
            size_t lf = slice_find(whole, '\n');

            buf_consume(&i->in, lf < whole.len ? lf + 1 : lf);
            i->begun = true;
            whole = whole_lines(i, more);
        }
        i->begun = true;
        *lines = slice_head(whole, lines_before_dot(i, whole));
        i->given = lines->len;
        if (!more)
            i->ended = true;
    }
    return RESULT_OK;
}
