#include "smtp/dots.h"

static void
put(struct dots *d, const char *from, const char *to)
{
    if (to > from)
        d->write(d->context, (struct slice){ from, (size_t)(to - from) });
}

/*
 * A content line from p up to end (without its line end) that passes the limit:
 * *start is where what was not yet sent begins.
 */
static const char *
break_line(struct dots *d, const char *p, const char *end, const char **start)
{
    while ((size_t)(end - p) > d->limit - d->column) {
        p += d->limit - d->column;
        put(d, *start, p);
        d->write(d->context, SLICE_LIT("\r\n "));
        *start = p;
        d->column = 1;
    }
    return p;
}

void
dots_add(struct dots *d, struct slice piece)
{
    const char *p = piece.ptr, *end = p + piece.len, *start = p;

    while (p < end) {
        const char *newline, *text_end;

        if (d->column == 0 && *p == '.') {
            put(d, start, p);
            d->write(d->context, SLICE_LIT("."));
            start = p;
        }
        newline = memchr(p, '\n', (size_t)(end - p));
        text_end = newline != NULL ? newline : end;
        /* There is no bare CR in content: this one belongs to the line end. */
        if (text_end > p && text_end[-1] == '\r')
            text_end--;
        if (d->limit > 1 && d->column + (size_t)(text_end - p) > d->limit)
            p = break_line(d, p, text_end, &start);
        if (newline == NULL) {
            d->column += (size_t)(text_end - p);
            break;
        }
        d->column = 0;
        p = newline + 1;
    }
    put(d, start, end);
}

void
dots_end(struct dots *d)
{
    if (d->column > 0)
        d->write(d->context, SLICE_LIT("\r\n"));
    d->column = 0;
    d->write(d->context, SLICE_LIT(".\r\n"));
}
