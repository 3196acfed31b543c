#include "lib/config/expand.h"

#include "lib/base/num.h"
#include "lib/config/config.h"

#include <ctype.h>
#include <stdint.h>

#define BLANKS " \t\r\n"

enum expand_mode {
    EXPAND_ALL,   /* values are expanded in turn */
    EXPAND_ONCE,  /* values are taken as they are */
    EXPAND_NAMES, /* nothing is made, the names are reported */
};

struct expansion {
    enum expand_mode mode;
    config_lookup_fn lookup;
    expand_name_fn found;
    void *context;
    struct why *why;
    unsigned depth;
    unsigned steps;
};

/* What stands behind "?" and ":". */
struct branches {
    struct slice when, otherwise;
};

static bool
is_blank(char c)
{
    return c != '\0' && strchr(BLANKS, c) != NULL;
}

static bool
is_name(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

static struct slice
skip_blanks(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = slice_skip(s, 1);
    return s;
}

/* Octets from an opening bracket to its partner, both counted; 0: no partner. */
static size_t
bracketed(struct slice s, char open, char close)
{
    size_t level = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == open)
            level++;
        else if (s.ptr[i] == close && --level == 0)
            return i + 1;
    }
    return 0;
}

static enum result
fail(struct expansion *x, const char *what, struct slice at)
{
    return why_perm(x->why, "5.3.5", "%s at \"" SLICE_FMT "\"", what,
        SLICE_ARG(slice_head(at, 60)));
}

/* Take "{...}" off *rest, past blanks: what is inside, as it stands. */
static enum result
take_braced(struct expansion *x, struct slice *rest, struct slice *inside)
{
    struct slice s = skip_blanks(*rest);
    size_t len;

    if (s.len == 0 || s.ptr[0] != '{')
        return fail(x, "\"{\" expected", *rest);
    len = bracketed(s, '{', '}');
    if (len == 0)
        return fail(x, "\"}\" missing", s);
    *inside = (struct slice){ s.ptr + 1, len - 2 };
    *rest = slice_skip(s, len);
    return RESULT_OK;
}

static bool
braced_next(struct slice s)
{
    s = skip_blanks(s);
    return s.len > 0 && s.ptr[0] == '{';
}

/* rest begins with what follows the first operand: "", "?..." or ":...". */
static enum result
parse_branches(struct expansion *x, struct slice rest, struct branches *b)
{
    enum result res;
    bool negated = rest.ptr[0] == ':';

    *b = (struct branches){ 0 };
    rest = slice_skip(rest, 1);
    if (!braced_next(rest)) {
        *(negated ? &b->otherwise : &b->when) = rest;
        return RESULT_OK;
    }
    res = take_braced(x, &rest, negated ? &b->otherwise : &b->when);
    if (res != RESULT_OK)
        return res;
    rest = skip_blanks(rest);
    if (rest.len == 0)
        return RESULT_OK;
    if (negated)
        return fail(x, "unexpected text", rest);
    if (rest.ptr[0] != ':')
        return fail(x, "\":\" expected", rest);
    rest = slice_skip(rest, 1);
    if (!braced_next(rest)) {
        b->otherwise = rest;
        return RESULT_OK;
    }
    res = take_braced(x, &rest, &b->otherwise);
    if (res == RESULT_OK && skip_blanks(rest).len > 0)
        return fail(x, "unexpected text", rest);
    return res;
}

static enum result expand_text(struct expansion *x, struct slice text,
    struct buf *to);

static enum result
/* NOLINTNEXTLINE(misc-no-recursion): EXPAND_DEPTH_MAX */
expand_deeper(struct expansion *x, struct slice text, struct buf *to)
{
    enum result res;

    if (++x->steps > EXPAND_STEPS_MAX)
        return fail(x, "too many references", text);
    if (++x->depth > EXPAND_DEPTH_MAX)
        return fail(x, "unreasonable nesting (a loop?)", text);
    res = expand_text(x, text, to);
    x->depth--;
    return res;
}

/* "$name" from here on is its value. */
static enum result
/* NOLINTNEXTLINE(misc-no-recursion): EXPAND_DEPTH_MAX */
expand_value(struct expansion *x, const char *value, struct buf *to)
{
    if (value == NULL || *value == '\0')
        return RESULT_OK;
    if (x->mode == EXPAND_ALL)
        return expand_deeper(x, slice_of(value), to);
    buf_add_text(to, value);
    return RESULT_OK;
}

static enum result
/* NOLINTNEXTLINE(misc-no-recursion): EXPAND_DEPTH_MAX */
expand_branches(struct expansion *x, const struct branches *b, bool truth,
    struct buf *to)
{
    enum result res;

    if (x->mode != EXPAND_NAMES)
        return expand_deeper(x, truth ? b->when : b->otherwise, to);
    res = expand_deeper(x, b->when, to);
    return res == RESULT_OK ? expand_deeper(x, b->otherwise, to) : res;
}

static bool
parse_level(struct slice s, uint32_t part[3])
{
    for (unsigned i = 0; i < 3; i++) {
        size_t dot = slice_find(s, '.');

        part[i] = 0;
        if (s.len == 0 && i > 0)
            continue;
        if (!num_parse_u32(slice_head(s, dot), 65535, &part[i]))
            return false;
        if (dot + 1 == s.len) /* "3." */
            return false;
        s = slice_skip(s, dot + 1);
    }
    return s.len == 0;
}

bool
expand_compare_levels(struct slice a, struct slice b, int *order)
{
    uint32_t x[3], y[3];

    if (!parse_level(slice_trim(a), x) || !parse_level(slice_trim(b), y))
        return false;
    *order = 0;
    for (unsigned i = 0; i < 3 && *order == 0; i++)
        *order = (x[i] > y[i]) - (x[i] < y[i]);
    return true;
}

static bool
is_number(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!isdigit((unsigned char)s.ptr[i]))
            return false;
    }
    return s.len > 0;
}

/* Digits of any length, without arithmetic that could overflow. */
static int
compare_numbers(struct slice a, struct slice b)
{
    while (a.len > 1 && a.ptr[0] == '0')
        a = slice_skip(a, 1);
    while (b.len > 1 && b.ptr[0] == '0')
        b = slice_skip(b, 1);
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return memcmp(a.ptr, b.ptr, a.len);
}

static int
compare_texts(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.ptr, b.ptr, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

enum { LESS = 1, EQUAL = 2, GREATER = 4 };

static const struct {
    const char *text;
    unsigned holds; /* for which orders */
} operators[] = {
    { "==", EQUAL },
    { "!=", LESS | GREATER },
    { "<", LESS },
    { "<=", LESS | EQUAL },
    { ">=", GREATER | EQUAL },
    { ">", GREATER },
};

/* "level" behind an operator compares values of compatibility_level. */
static enum result
parse_operator(struct expansion *x, struct slice *rest, unsigned *holds,
    bool *levels)
{
    struct slice s = skip_blanks(*rest), op;
    size_t len = 0;

    while (len < s.len && !is_blank(s.ptr[len]) && s.ptr[len] != '{')
        len++;
    op = slice_head(s, len);
    *levels = slice_ends_nocase(op, SLICE_LIT("level"));
    if (*levels)
        op.len -= sizeof("level") - 1;
    for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
        if (slice_eq_text(op, operators[i].text)) {
            *holds = operators[i].holds;
            *rest = slice_skip(s, len);
            return RESULT_OK;
        }
    }
    return fail(x, "==, !=, <, <=, >= or > expected", s);
}

static enum result
compare(struct expansion *x, struct slice a, struct slice b, bool levels,
    unsigned holds, bool *truth)
{
    int order;

    if (levels) {
        if (!expand_compare_levels(a, b, &order))
            return fail(x, "bad compatibility level", b);
    } else if (is_number(a) && is_number(b)) {
        order = compare_numbers(a, b);
    } else {
        order = compare_texts(a, b);
    }
    *truth = holds & (order < 0 ? LESS : order > 0 ? GREATER : EQUAL);
    return RESULT_OK;
}

/* "{a} op {b}" at the start of *rest. */
static enum result
/* NOLINTNEXTLINE(misc-no-recursion): EXPAND_DEPTH_MAX */
expand_relation(struct expansion *x, struct slice *rest, bool *truth)
{
    struct slice left, right;
    struct buf a, b;
    unsigned holds = 0;
    bool levels = false;
    enum result res;

    buf_init(&a, EXPAND_OCTETS_MAX);
    buf_init(&b, EXPAND_OCTETS_MAX);
    *truth = false;
    res = take_braced(x, rest, &left);
    if (res == RESULT_OK)
        res = parse_operator(x, rest, &holds, &levels);
    if (res == RESULT_OK)
        res = take_braced(x, rest, &right);
    if (res == RESULT_OK)
        res = expand_deeper(x, left, &a);
    if (res == RESULT_OK)
        res = expand_deeper(x, right, &b);
    if (res == RESULT_OK && x->mode != EXPAND_NAMES)
        res = compare(x, buf_slice(&a), buf_slice(&b), levels, holds, truth);
    buf_fini(&a);
    buf_fini(&b);
    return res;
}

/*
 * ${domain_to_ascii{text}} and ${domain_to_utf8{text}}: a domain of ASCII is
 * both already; another one is refused rather than left as it is.
 */
static enum result
/* NOLINTNEXTLINE(misc-no-recursion): EXPAND_DEPTH_MAX */
expand_function(struct expansion *x, struct slice name, struct slice rest,
    struct buf *to)
{
    struct slice text;
    size_t start = to->len;
    enum result res;

    if (!slice_eq_text(name, "domain_to_ascii") &&
        !slice_eq_text(name, "domain_to_utf8"))
        return fail(x, "unknown function", name);
    res = take_braced(x, &rest, &text);
    if (res == RESULT_OK && skip_blanks(rest).len > 0)
        res = fail(x, "unexpected text", rest);
    if (res == RESULT_OK)
        res = expand_deeper(x, text, to);
    if (res != RESULT_OK)
        return res;
    for (size_t i = start; i < to->len; i++) {
        if ((unsigned char)to->ptr[i] > 127)
            return fail(x, "domain is not ASCII", slice_skip(buf_slice(to), i));
    }
    return RESULT_OK;
}

/* What stands between "${" and "}". */
static enum result
/* NOLINTNEXTLINE(misc-no-recursion): EXPAND_DEPTH_MAX */
expand_reference(struct expansion *x, struct slice inside, struct buf *to)
{
    struct slice rest = skip_blanks(inside), name = { 0 };
    const char *value = NULL;
    struct branches b;
    bool truth = false;
    enum result res;

    if (braced_next(rest)) {
        res = expand_relation(x, &rest, &truth);
        if (res != RESULT_OK)
            return res;
        value = truth ? "true" : NULL;
    } else {
        name = rest;
        name.len = 0;
        while (name.len < rest.len && is_name(rest.ptr[name.len]))
            name.len++;
        if (name.len == 0)
            return fail(x, "parameter name expected", inside);
        rest = slice_skip(rest, name.len);
        if (rest.len > 0 && rest.ptr[0] == '{')
            return expand_function(x, name, rest, to);
        if (x->mode == EXPAND_NAMES)
            x->found(x->context, name);
        else
            value = x->lookup(x->context, name);
        truth = value != NULL && *value != '\0';
    }
    rest = skip_blanks(rest);
    if (rest.len == 0)
        return expand_value(x, value, to);
    if (rest.ptr[0] != '?' && rest.ptr[0] != ':')
        return fail(x, "\"?\" or \":\" expected", rest);
    res = parse_branches(x, rest, &b);
    return res == RESULT_OK ? expand_branches(x, &b, truth, to) : res;
}

static enum result
/* NOLINTNEXTLINE(misc-no-recursion): EXPAND_DEPTH_MAX */
expand_text(struct expansion *x, struct slice text, struct buf *to)
{
    enum result res = RESULT_OK;

    /* Once it is too long, what follows must not cost time either. */
    while (res == RESULT_OK && text.len > 0 && !buf_failed(to)) {
        size_t len = slice_find(text, '$');
        struct slice all, inside;
        char open;

        buf_add(to, slice_head(text, len));
        all = slice_skip(text, len);
        if (all.len == 0)
            break;
        text = slice_skip(all, 1);
        open = text.len > 0 ? text.ptr[0] : '\0';
        if (open == '$') {
            buf_add_octet(to, '$');
            text = slice_skip(text, 1);
            continue;
        }
        if (open == '{' || open == '(') {
            len = bracketed(text, open, open == '{' ? '}' : ')');
            if (len == 0)
                return fail(x, "closing bracket missing", all);
            inside = (struct slice){ text.ptr + 1, len - 2 };
        } else {
            for (len = 0; len < text.len && is_name(text.ptr[len]); len++)
                ;
            inside = slice_head(text, len);
            if (len == 0)
                return fail(x, "\"$\" without a name", all);
        }
        res = expand_reference(x, inside, to);
        text = slice_skip(text, len);
    }
    if (res == RESULT_OK && buf_failed(to))
        return why_perm(x->why, "5.3.5", "the value gets too long");
    return res;
}

enum result
config_expand(struct slice text, config_lookup_fn lookup, void *context,
    struct buf *to, struct why *why)
{
    struct expansion x = { .mode = EXPAND_ALL,
        .lookup = lookup,
        .context = context,
        .why = why };

    return expand_deeper(&x, text, to);
}

enum result
config_expand_once(struct slice text, config_lookup_fn lookup, void *context,
    struct buf *to, struct why *why)
{
    struct expansion x = { .mode = EXPAND_ONCE,
        .lookup = lookup,
        .context = context,
        .why = why };

    return expand_deeper(&x, text, to);
}

enum result
expand_names(struct slice text, expand_name_fn found, void *context,
    struct why *why)
{
    struct expansion x = { .mode = EXPAND_NAMES,
        .found = found,
        .context = context,
        .why = why };
    struct buf nothing;
    enum result res;

    buf_init(&nothing, EXPAND_OCTETS_MAX);
    res = expand_deeper(&x, text, &nothing);
    buf_fini(&nothing);
    return res;
}
