#include "lib/table/replacement.h"

#include "lib/base/num.h"

static struct piece *
add_piece(struct arena *arena, struct piece ***last)
{
    struct piece *p = arena_alloc(arena, sizeof(*p));

    if (p != NULL) {
        **last = p;
        *last = &p->next;
    }
    return p;
}

static bool
is_name_octet(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
        (c >= '0' && c <= '9') || c == '_';
}

/* What stands between *rest's brackets; false when there is no end. */
static bool
bracketed(struct slice *rest, char open, char close, struct slice *name)
{
    unsigned depth = 0;

    for (size_t i = 0; i < rest->len; i++) {
        if (rest->ptr[i] == open)
            depth++;
        else if (rest->ptr[i] == close && --depth == 0) {
            *name = slice_skip(slice_head(*rest, i), 1);
            *rest = slice_skip(*rest, i + 1);
            return true;
        }
    }
    return false;
}

/* rest stands behind the dollar. */
static bool
take_name(struct slice *rest, struct slice *name, struct buf *problem)
{
    const struct slice all = { rest->ptr - 1, rest->len + 1 };
    size_t n = 0;

    if (rest->len > 0 && (rest->ptr[0] == '{' || rest->ptr[0] == '(')) {
        bool brace = rest->ptr[0] == '{';

        if (!bracketed(rest, brace ? '{' : '(', brace ? '}' : ')', name)) {
            buf_add_format(problem,
                "truncated macro reference: \"" SLICE_FMT "\"", SLICE_ARG(all));
            return false;
        }
    } else {
        while (n < rest->len && is_name_octet(rest->ptr[n]))
            n++;
        *name = slice_head(*rest, n);
        *rest = slice_skip(*rest, n);
    }
    if (name->len > 0)
        return true;
    buf_add_format(problem, "empty macro name: \"" SLICE_FMT "\"",
        SLICE_ARG(all));
    return false;
}

static bool
take_index(struct slice name, unsigned *index, struct buf *problem)
{
    uint32_t n;

    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] < '0' || name.ptr[i] > '9') {
            buf_add_format(problem,
                "non-numeric replacement index \"" SLICE_FMT "\"",
                SLICE_ARG(name));
            return false;
        }
    if (!num_parse_u32(name, CAPTURES_MAX, &n) || n == 0) {
        buf_add_format(problem,
            "out of range replacement index \"" SLICE_FMT "\"",
            SLICE_ARG(name));
        return false;
    }
    *index = n;
    return true;
}

static bool
no_room(struct buf *problem)
{
    buf_add_text(problem, "table is full");
    return false;
}

static bool
add_text(struct slice text, struct arena *arena, struct piece ***last,
    struct buf *problem)
{
    struct piece *p;

    if (text.len == 0)
        return true;
    p = add_piece(arena, last);
    return (p != NULL && arena_slice(arena, text, &p->text)) ||
        no_room(problem);
}

bool
replacement_parse(struct slice text, struct arena *arena, struct replacement *r,
    struct buf *problem)
{
    struct replacement made = { 0 };
    struct piece **last = &made.pieces, *p;

    while (text.len > 0) {
        size_t n = slice_find(text, '$');
        struct slice literal = slice_head(text, n), name;

        text = slice_skip(text, n);
        if (slice_starts(text, SLICE_LIT("$$"))) {
            literal.len++; /* the first of the two */
            text = slice_skip(text, 2);
        }
        if (!add_text(literal, arena, &last, problem))
            return false;
        if (text.len == 0 || literal.len > n)
            continue;
        text = slice_skip(text, 1);
        if (!take_name(&text, &name, problem))
            return false;
        p = add_piece(arena, &last);
        if (p == NULL)
            return no_room(problem);
        if (!take_index(name, &p->index, problem))
            return false;
        if (p->index > made.max_index)
            made.max_index = p->index;
    }
    *r = made;
    return true;
}

bool
replacement_plain(struct slice text, struct arena *arena, struct replacement *r)
{
    struct replacement made = { 0 };
    struct piece **last = &made.pieces;
    struct piece *p = add_piece(arena, &last);

    if (p == NULL || !arena_slice(arena, text, &p->text))
        return false;
    *r = made;
    return true;
}

void
replacement_expand(const struct replacement *r, const struct captures *captures,
    struct buf *to)
{
    for (const struct piece *p = r->pieces; p != NULL; p = p->next)
        buf_add(to, p->index == 0 ? p->text : captures->groups[p->index]);
}
