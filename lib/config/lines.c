#include "lib/config/lines.h"

static struct slice
without_blanks_at_end(struct slice s)
{
    while (s.len > 0 && strchr(" \t\r\n\v\f", s.ptr[s.len - 1]) != NULL &&
        s.ptr[s.len - 1] != '\0')
        s.len--;
    return s;
}

static bool
begins_with_blank(struct slice s)
{
    return s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t');
}

static bool
is_skipped(struct slice s)
{
    s = slice_trim(s);
    return s.len == 0 || s.ptr[0] == '#';
}

void
lines_init(struct lines *l, struct slice text)
{
    *l = (struct lines){ .rest = text };
    buf_init(&l->joined, LINE_OCTETS_MAX);
}

void
lines_fini(struct lines *l)
{
    buf_fini(&l->joined);
}

bool
lines_next(struct lines *l, struct slice *line)
{
    struct slice rest = l->rest, physical;
    bool begun = false;

    buf_clear(&l->joined);
    while (slice_line(&rest, &physical)) {
        if (is_skipped(physical)) {
            l->rest = rest;
            l->number++;
            continue;
        }
        if (begun && !begins_with_blank(physical))
            break;
        l->rest = rest;
        l->number++;
        if (!begun) {
            l->first = l->number;
            l->stray_blank = begins_with_blank(physical);
        }
        begun = true;
        l->last = l->number;
        buf_add(&l->joined, physical);
    }
    l->too_long = buf_failed(&l->joined);
    *line = without_blanks_at_end(buf_slice(&l->joined));
    return begun;
}
