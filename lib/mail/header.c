#include "lib/mail/header.h"

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

size_t
header_name_length(struct slice line)
{
    size_t n = 0, end;

    while (n < line.len && line.ptr[n] > ' ' && line.ptr[n] < 127 &&
        line.ptr[n] != ':')
        n++;
    end = n;
    while (end < line.len && is_blank(line.ptr[end]))
        end++;
    return end < line.len && line.ptr[end] == ':' ? n : 0;
}

/* The length of the first line of text with its end. */
static size_t
line_length(struct slice text)
{
    size_t n = slice_find(text, '\n');

    return n < text.len ? n + 1 : n;
}

bool
header_next(struct slice *rest, struct header_field *field)
{
    size_t len = line_length(*rest);
    size_t name = header_name_length(slice_head(*rest, len));
    struct slice after;

    if (name == 0)
        return false;
    while (len < rest->len && is_blank(rest->ptr[len]))
        len += line_length(slice_skip(*rest, len));
    field->whole = slice_head(*rest, len);
    field->name = slice_head(field->whole, name);
    after = slice_skip(field->whole, name);
    field->value = slice_trim(slice_skip(after, slice_find(after, ':') + 1));
    *rest = slice_skip(*rest, len);
    return true;
}

void
header_addresses_init(struct header_addresses *h, struct slice text,
    unsigned token_limit)
{
    *h = (struct header_addresses){ .text = text, .tokens_left = token_limit };
}

/* The words of an address list. A token is at .. end of the text. */
enum token {
    TOKEN_END,
    TOKEN_ATOM,
    TOKEN_QUOTED,  /* "text" */
    TOKEN_LITERAL, /* [text] */
    TOKEN_SPECIAL, /* one of <>@.,:; */
};

/* Past a comment that begins at i; comments nest. */
static size_t
skip_comment(struct slice t, size_t i)
{
    unsigned depth = 0;

    for (; i < t.len; i++) {
        if (t.ptr[i] == '\\')
            i++;
        else if (t.ptr[i] == '(')
            depth++;
        else if (t.ptr[i] == ')' && --depth == 0)
            return i + 1;
    }
    return t.len;
}

static size_t
skip_space(struct slice t, size_t i)
{
    while (i < t.len) {
        if (t.ptr[i] == '(')
            i = skip_comment(t, i);
        else if (is_blank(t.ptr[i]) || t.ptr[i] == '\r' || t.ptr[i] == '\n')
            i++;
        else
            break;
    }
    return i;
}

/* Past what begins at i and ends with close. */
static size_t
skip_delimited(struct slice t, size_t i, char close)
{
    for (i++; i < t.len; i++) {
        if (t.ptr[i] == '\\')
            i++;
        else if (t.ptr[i] == close)
            return i + 1;
    }
    return t.len;
}

static bool
is_atom_octet(char c)
{
    return c != '\0' && strchr(" \t\r\n()<>@.,:;\"[", c) == NULL;
}

/* A backslash takes the octet behind it along, but not half a line end. */
static bool
is_escape(struct slice t, size_t i)
{
    return t.ptr[i] == '\\' && i + 1 < t.len && t.ptr[i + 1] != '\r' &&
        t.ptr[i + 1] != '\n';
}

/* At least one octet: a stray ')' counts as an atom. */
static size_t
skip_atom(struct slice t, size_t i)
{
    do {
        if (is_escape(t, i))
            i++;
        i++;
    } while (i < t.len && (t.ptr[i] == '\0' || is_atom_octet(t.ptr[i])));
    return i;
}

/* ":include:/file/name", as aliases have it, up to a blank or comma. */
static size_t
skip_include(struct slice t, size_t i)
{
    const struct slice tag = SLICE_LIT(":include:");

    if (!slice_starts_nocase(slice_skip(t, i), tag))
        return i;
    for (i += tag.len; i < t.len; i++)
        if (is_blank(t.ptr[i]) || strchr("\r\n,", t.ptr[i]) != NULL)
            break;
    return i;
}

/* The token at *at, which is moved to its first octet. */
static enum token
scan(struct slice t, size_t *at, size_t *end)
{
    size_t i = *at = skip_space(t, *at);

    if (i >= t.len) {
        *at = *end = t.len;
        return TOKEN_END;
    }
    if (t.ptr[i] == '"') {
        *end = skip_delimited(t, i, '"');
        return TOKEN_QUOTED;
    }
    if (t.ptr[i] == '[') {
        *end = skip_delimited(t, i, ']');
        return TOKEN_LITERAL;
    }
    *end = skip_include(t, i);
    if (*end > i)
        return TOKEN_ATOM;
    if (t.ptr[i] != '\0' && strchr("<>@.,:;", t.ptr[i]) != NULL) {
        *end = i + 1;
        return TOKEN_SPECIAL;
    }
    *end = skip_atom(t, i);
    return TOKEN_ATOM;
}

/*
 * Atoms and quoted strings without their quotes and backslashes. Folds are taken
 * out: an address with a line end in it would be a header or command of its own.
 */
static void
add_word(struct buf *to, struct slice word, enum token kind)
{
    if (kind == TOKEN_QUOTED) {
        word = slice_skip(word, 1);
        if (word.len > 0 && word.ptr[word.len - 1] == '"')
            word.len--;
    }
    for (size_t i = 0; i < word.len; i++) {
        char c = word.ptr[i];

        if (c == '\\' && kind != TOKEN_LITERAL && i + 1 < word.len)
            c = word.ptr[++i];
        if (c != '\r' && c != '\n')
            buf_add_octet(to, (unsigned char)c);
    }
}

/* One address while it is put together. */
struct gathering {
    struct buf *to;
    size_t first, last; /* of the text that it was made of */
    bool any;           /* something was taken */
    bool word;          /* the last thing taken was a word */
};

static void
forget(struct gathering *g)
{
    buf_clear(g->to);
    g->any = g->word = false;
}

static void
take(struct gathering *g, struct slice text, size_t at, size_t end,
    enum token kind)
{
    if (!g->any)
        g->first = at;
    g->last = end;
    g->any = true;
    g->word = kind != TOKEN_SPECIAL;
    add_word(g->to, (struct slice){ text.ptr + at, end - at }, kind);
}

/*
 * Is there an angle bracket before the end of this address? Then what stands in
 * front of it is a name and not an address. Each part of the text is searched
 * once, whatever it holds.
 */
static bool
bracket_follows(struct header_addresses *h)
{
    size_t at = h->at, end;

    if (at < h->looked_to)
        return h->bracket_ahead;
    h->bracket_ahead = false;
    for (unsigned n = h->tokens_left; n > 0; n--) {
        enum token kind = scan(h->text, &at, &end);

        h->looked_to = at;
        if (kind == TOKEN_END)
            break;
        if (kind == TOKEN_SPECIAL && strchr("<,;>", h->text.ptr[at]) != NULL) {
            h->bracket_ahead = h->text.ptr[at] == '<';
            break;
        }
        at = end;
    }
    return h->bracket_ahead;
}

/* What stands in <>; h->at is behind the '<'. */
static void
take_bracketed(struct header_addresses *h, struct gathering *g)
{
    size_t at, end;

    forget(g);
    g->first = g->last = h->at;
    for (; h->tokens_left > 0; h->tokens_left--) {
        enum token kind;
        char c;

        at = h->at;
        kind = scan(h->text, &at, &end);
        c = kind == TOKEN_END ? '>' : h->text.ptr[at];
        h->at = end;
        if (kind == TOKEN_SPECIAL && c == ':' && g->any &&
            h->text.ptr[g->first] == '@') {
            /* RFC 5321 section 4.1.1.3: a source route is ignored. */
            forget(g);
            continue;
        }
        if ((kind == TOKEN_SPECIAL && c == '>') || kind == TOKEN_END)
            break;
        take(g, h->text, at, end, kind);
    }
    g->any = true; /* <> is an address as well */
}

/* To the next comma or semicolon: what follows "<...>" means nothing. */
static void
skip_rest(struct header_addresses *h)
{
    size_t at, end;

    for (; h->tokens_left > 0; h->tokens_left--) {
        enum token kind;

        at = h->at;
        kind = scan(h->text, &at, &end);
        if (kind == TOKEN_END ||
            (kind == TOKEN_SPECIAL && strchr(",;", h->text.ptr[at]) != NULL))
            return;
        h->at = end;
    }
}

enum step { STEP_ON, STEP_DONE };

static enum step
special(struct header_addresses *h, struct gathering *g, size_t at, size_t end)
{
    switch (h->text.ptr[at]) {
    case ',':
    case ';':
        h->at = end;
        return g->any ? STEP_DONE : STEP_ON;
    case ':': /* the name of a group stood in front of it */
        h->at = end;
        forget(g);
        return STEP_ON;
    case '<':
        h->at = end;
        take_bracketed(h, g);
        skip_rest(h);
        return STEP_DONE;
    case '>': /* stray */
        h->at = end;
        return STEP_ON;
    default: /* '@' and '.' */
        take(g, h->text, at, end, TOKEN_SPECIAL);
        h->at = end;
        return STEP_ON;
    }
}

/* One token on. */
static enum step
advance(struct header_addresses *h, struct gathering *g)
{
    size_t at = h->at, end;
    enum token kind = scan(h->text, &at, &end);

    if (kind == TOKEN_END) {
        h->at = end;
        return STEP_DONE;
    }
    if (kind == TOKEN_SPECIAL)
        return special(h, g, at, end);
    if (g->word) {
        /* Two words in a row: a display name, or a comma is missing. */
        if (!bracket_follows(h))
            return STEP_DONE;
        forget(g);
    }
    take(g, h->text, at, end, kind);
    h->at = end;
    return STEP_ON;
}

bool
header_addresses_next(struct header_addresses *h, struct buf *internal,
    struct slice *raw)
{
    struct gathering g = { .to = internal };

    buf_clear(internal);
    while (h->tokens_left > 0) {
        h->tokens_left--;
        if (advance(h, &g) == STEP_DONE)
            break;
    }
    if (!g.any || buf_failed(internal))
        return false;
    *raw = (struct slice){ h->text.ptr + g.first, g.last - g.first };
    return true;
}
