#include "lib/mail/mime_type.h"

enum { WORD_MAX = 64 }; /* octets of a name that we know */

void
mime_type_init(struct mime_type *t, size_t boundary_max)
{
    *t = (struct mime_type){ .named = MIME_LEAF };
    buf_init(&t->boundary, boundary_max);
}

void
mime_type_fini(struct mime_type *t)
{
    buf_fini(&t->boundary);
}

void
mime_type_clear(struct mime_type *t, bool in_digest)
{
    t->named = in_digest ? MIME_MESSAGE : MIME_LEAF;
    t->encoding = MIME_7BIT;
    t->digest = false;
    buf_clear(&t->boundary);
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Blanks and comments, which may hold others. */
static void
skip_space(struct slice *in)
{
    size_t depth = 0, i = 0;

    for (; i < in->len; i++) {
        char c = in->ptr[i];

        if (c == '(')
            depth++;
        else if (c == ')' && depth > 0)
            depth--;
        else if (c == '\\' && depth > 0)
            i++;
        else if (depth == 0 && !is_space(c))
            break;
    }
    *in = slice_skip(*in, i);
}

/* A quoted string, of which the opening quote has been seen. */
static void
take_quoted(struct slice *in, struct buf *to)
{
    size_t i = 1;

    for (; i < in->len && in->ptr[i] != '"'; i++) {
        if (in->ptr[i] == '\r' || in->ptr[i] == '\n')
            continue; /* a fold */
        if (in->ptr[i] == '\\' && i + 1 < in->len)
            i++;
        buf_add_octet(to, (unsigned char)in->ptr[i]);
    }
    *in = slice_skip(*in, i + 1);
}

/* A token or a quoted string: as much of it as to takes. */
static void
take_word(struct slice *in, struct buf *to)
{
    size_t n = 0;

    buf_clear(to);
    skip_space(in);
    if (in->len > 0 && in->ptr[0] == '"') {
        take_quoted(in, to);
        return;
    }
    while (n < in->len && !is_space(in->ptr[n]) &&
        memchr(";=\"(", in->ptr[n], 4) == NULL)
        n++;
    for (size_t i = 0; i < n; i++)
        buf_add_octet(to, (unsigned char)in->ptr[i]);
    *in = slice_skip(*in, n);
}

/* To the next parameter; false: there is none. */
static bool
next_parameter(struct slice *in)
{
    struct buf skipped;

    buf_init(&skipped, 1);
    for (;;) {
        skip_space(in);
        if (in->len == 0 || in->ptr[0] == ';')
            break;
        if (in->ptr[0] == '"')
            take_quoted(in, &skipped);
        else
            *in = slice_skip(*in, 1);
    }
    buf_fini(&skipped);
    *in = slice_skip(*in, 1);
    return in->len > 0;
}

/* The first one; blanks at its end do not belong to it (RFC 2046 section 5.1.1). */
static void
read_boundary(struct mime_type *t, struct slice in)
{
    struct buf name;
    bool found = false;

    buf_init(&name, WORD_MAX);
    buf_clear(&t->boundary);
    while (!found && next_parameter(&in)) {
        take_word(&in, &name);
        skip_space(&in);
        if (in.len == 0 || in.ptr[0] != '=' ||
            !slice_eq_nocase(buf_slice(&name), SLICE_LIT("boundary")))
            continue;
        in = slice_skip(in, 1);
        take_word(&in, &t->boundary);
        found = true;
    }
    while (
        t->boundary.len > 0 && is_space(t->boundary.ptr[t->boundary.len - 1]))
        buf_truncate(&t->boundary, t->boundary.len - 1);
    buf_fini(&name);
}

static void
read_type(struct mime_type *t, struct slice value)
{
    struct buf word;
    struct slice type;

    buf_init(&word, WORD_MAX);
    take_word(&value, &word);
    type = buf_slice(&word);
    t->named = MIME_LEAF;
    t->digest = slice_eq_nocase(type, SLICE_LIT("multipart/digest"));
    if (slice_starts_nocase(type, SLICE_LIT("multipart/"))) {
        t->named = MIME_MULTIPART;
        read_boundary(t, value);
    } else if (slice_eq_nocase(type, SLICE_LIT("message/rfc822")) ||
        slice_eq_nocase(type, SLICE_LIT("message/global"))) {
        t->named = MIME_MESSAGE;
    }
    buf_fini(&word);
}

enum mime_encoding
mime_encoding_of(struct slice value)
{
    static const struct {
        const char *name;
        enum mime_encoding encoding;
    } encodings[] = {
        { "7bit", MIME_7BIT },
        { "8bit", MIME_8BIT },
        { "binary", MIME_BINARY },
        { "quoted-printable", MIME_QUOTED_PRINTABLE },
        { "base64", MIME_BASE64 },
    };
    enum mime_encoding encoding = MIME_OTHER;
    struct buf word;

    buf_init(&word, WORD_MAX);
    take_word(&value, &word);
    for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++)
        if (slice_eq_nocase(buf_slice(&word), slice_of(encodings[i].name)))
            encoding = encodings[i].encoding;
    buf_fini(&word);
    return encoding;
}

void
mime_type_read(struct mime_type *t, const struct header_field *f)
{
    if (slice_eq_nocase(f->name, SLICE_LIT("Content-Type")))
        read_type(t, f->value);
    else if (slice_eq_nocase(f->name, SLICE_LIT("Content-Transfer-Encoding")))
        t->encoding = mime_encoding_of(f->value);
}

/*
 * A multipart or a message that is encoded all the same, against RFC 2045
 * section 6.4, has no lines that we could look at; neither has a multipart
 * whose boundary is not known.
 */
enum mime_kind
mime_type_kind(const struct mime_type *t)
{
    if (t->encoding != MIME_7BIT && t->encoding != MIME_8BIT &&
        t->encoding != MIME_BINARY)
        return MIME_LEAF;
    return t->named == MIME_MULTIPART && t->boundary.len == 0 ? MIME_LEAF
                                                              : t->named;
}
