#include "lib/table/template.h"

bool
template_check(const char *text, char *bad)
{
    for (const char *p = strchr(text, '%'); p != NULL; p = strchr(p, '%')) {
        *bad = p[1];
        if (p[1] == '\0' || strchr("%sudSUD123456789", p[1]) == NULL)
            return false;
        p += 2;
    }
    return true;
}

/* False: the address has no such part. */
static bool
local_part(struct slice address, struct slice *part)
{
    *part = slice_head(address, slice_rfind(address, '@'));
    return part->len > 0;
}

static bool
domain_part(struct slice address, struct slice *part)
{
    *part = slice_skip(address, slice_rfind(address, '@') + 1);
    return part->len > 0;
}

/* The nth label from the right. */
static bool
label(struct slice address, unsigned n, struct slice *part)
{
    struct slice rest;

    if (!domain_part(address, &rest))
        return false;
    for (;; n--) {
        size_t dot = slice_rfind(rest, '.');
        bool last = dot == rest.len;

        *part = last ? rest : slice_skip(rest, dot + 1);
        if (n == 1)
            return part->len > 0;
        if (last)
            return false;
        rest = slice_head(rest, dot);
    }
}

static bool
part_of(char letter, struct slice value, struct slice key, struct slice *part)
{
    switch (letter) {
    case 's':
        *part = value;
        return value.len > 0;
    case 'u':
        return local_part(value, part);
    case 'd':
        return domain_part(value, part);
    case 'S':
        *part = key;
        return key.len > 0;
    case 'U':
        return local_part(key, part);
    case 'D':
        return domain_part(key, part);
    default:
        return label(key, (unsigned)(letter - '0'), part);
    }
}

enum template_status
template_expand(const char *text, struct slice value, struct slice key,
    template_quote_fn quote, void *context, struct buf *to)
{
    struct slice rest = slice_of(text), part;

    while (rest.len > 0) {
        size_t n = slice_find(rest, '%');
        char letter;

        buf_add(to, slice_head(rest, n));
        rest = slice_skip(rest, n);
        if (rest.len < 2)
            break;
        letter = rest.ptr[1];
        rest = slice_skip(rest, 2);
        if (letter == '%') {
            buf_add_octet(to, '%');
            continue;
        }
        if (!part_of(letter, value, key, &part))
            return TEMPLATE_SUPPRESSED;
        if (quote == NULL)
            buf_add(to, part);
        else if (!quote(context, part, to))
            return TEMPLATE_FAILED;
    }
    return buf_failed(to) ? TEMPLATE_FAILED : TEMPLATE_DONE;
}
