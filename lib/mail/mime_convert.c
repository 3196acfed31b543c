#include "lib/mail/mime_convert.h"

#include "lib/base/base64.h"
#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/mail/header.h"
#include "lib/mail/mime.h"

#include <stdbool.h>

enum {
    LINE_OCTETS = 57,     /* become 76 digits, RFC 2045 section 6.8 */
    OUT_PIECE = 8 * 1024, /* gathered before it goes out */
    OUT_MAX = OUT_PIECE + 1024,
};

/*
 * Which encodings are not taken, and what stands in their place. What has parts
 * may not be encoded itself (RFC 2045 section 6.4): it says what its parts are
 * at most.
 */
static const struct rule {
    enum mime_convert_what what;
    enum mime_encoding from;
    const char *leaf, *composite;
} rules[] = {
    { MIME_CONVERT_BINARY, MIME_BINARY, "base64", "8bit" },
};

struct mime_convert {
    enum mime_convert_what what;
    struct mime *mime;
    void (*out)(void *context, struct slice octets);
    void *context;
    struct buf made;  /* not yet out */
    char last;        /* octet that was made */
    bool dropping;    /* the field at hand, to its end */
    bool encoding;    /* the body at hand */
    bool begun;       /* a line of it was made */
    struct buf group; /* octets of its next line */
};

static void
flush(struct mime_convert *c)
{
    if (c->made.len > 0)
        c->out(c->context, buf_slice(&c->made));
    buf_clear(&c->made);
}

static void
make(struct mime_convert *c, struct slice octets)
{
    if (octets.len == 0)
        return;
    c->last = octets.ptr[octets.len - 1];
    if (octets.len >= OUT_PIECE) {
        flush(c);
        c->out(c->context, octets);
        return;
    }
    buf_add(&c->made, octets);
    if (c->made.len >= OUT_PIECE)
        flush(c);
}

static const struct rule *
rule_of(const struct mime_convert *c, const struct mime_entity *e)
{
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++)
        if (rules[i].what == c->what && rules[i].from == e->encoding)
            return &rules[i];
    return NULL;
}

/* A field that says of an encoding what will not be true any more. */
static bool
is_wrong(const struct mime_convert *c, struct slice field)
{
    struct header_field f;

    return header_next(&field, &f) &&
        slice_eq_nocase(f.name, SLICE_LIT("Content-Transfer-Encoding")) &&
        rule_of(c,
            &(struct mime_entity){ .encoding = mime_encoding_of(f.value) }) !=
        NULL;
}

/* Base64: each line but the last has its end when the next begins. */

static void
make_line(struct mime_convert *c)
{
    struct buf line;

    if (c->group.len == 0)
        return;
    buf_init(&line, 2 + LINE_OCTETS * 2);
    if (c->begun)
        buf_add_text(&line, "\r\n");
    base64_encode(buf_slice(&c->group), &line);
    make(c, buf_slice(&line));
    buf_fini(&line);
    buf_clear(&c->group);
    c->begun = true;
}

static void
encode(struct mime_convert *c, struct slice octets)
{
    while (octets.len > 0) {
        struct slice some = slice_head(octets, LINE_OCTETS - c->group.len);

        buf_add(&c->group, some);
        octets = slice_skip(octets, some.len);
        if (c->group.len == LINE_OCTETS)
            make_line(c);
    }
}

/* Pieces of the message */

static void
take_field(struct mime_convert *c, const struct mime_entity *e,
    struct slice octets)
{
    (void)e;
    c->dropping = is_wrong(c, octets);
    if (!c->dropping)
        make(c, octets);
}

static void
take_field_rest(struct mime_convert *c, const struct mime_entity *e,
    struct slice octets)
{
    (void)e;
    if (!c->dropping)
        make(c, octets);
}

static void
take_header_end(struct mime_convert *c, const struct mime_entity *e,
    struct slice blank)
{
    const struct rule *rule = rule_of(c, e);
    struct buf field;

    c->encoding = rule != NULL && e->kind == MIME_LEAF;
    c->begun = false;
    if (rule != NULL) {
        buf_init(&field, OUT_PIECE);
        if (c->last != '\n')
            buf_add_text(&field, "\r\n");
        buf_add_format(&field, "Content-Transfer-Encoding: %s\r\n",
            c->encoding ? rule->leaf : rule->composite);
        /* What is encoded must not be taken for a field. */
        if (blank.len == 0)
            blank = SLICE_LIT("\r\n");
        make(c, buf_slice(&field));
        buf_fini(&field);
    }
    make(c, blank);
}

static void
take_body(struct mime_convert *c, const struct mime_entity *e,
    struct slice octets)
{
    (void)e;
    if (c->encoding)
        encode(c, octets);
    else
        make(c, octets);
}

static void
take_body_end(struct mime_convert *c, const struct mime_entity *e,
    struct slice none)
{
    (void)e;
    (void)none;
    make_line(c);
    c->encoding = false;
}

static void
take_frame(struct mime_convert *c, const struct mime_entity *e,
    struct slice octets)
{
    (void)e;
    make(c, octets);
}

static void
take_piece(void *context, enum mime_piece kind, const struct mime_entity *e,
    struct slice octets)
{
    static void (*const takers[])(struct mime_convert * c,
        const struct mime_entity *e, struct slice octets) = {
        [MIME_FIELD] = take_field,
        [MIME_FIELD_REST] = take_field_rest,
        [MIME_HEADER_END] = take_header_end,
        [MIME_BODY] = take_body,
        [MIME_BODY_END] = take_body_end,
        [MIME_FRAME] = take_frame,
    };

    takers[kind](context, e, octets);
}

struct mime_convert *
mime_convert_new(enum mime_convert_what what, const struct config *config,
    void (*out)(void *context, struct slice octets), void *context)
{
    struct mime_convert *c = mem_alloc(sizeof(*c));
    const struct mime_options options = {
        .piece = take_piece,
        .context = c,
        .nesting_max = (size_t)config->mime_nesting_limit,
        .boundary_max = (size_t)config->mime_boundary_length_limit,
        .field_max = (size_t)config->header_size_limit,
        .mailbox_line = true,
    };

    c->what = what;
    c->out = out;
    c->context = context;
    c->last = '\n';
    buf_init(&c->made, OUT_MAX + OUT_PIECE);
    buf_init(&c->group, LINE_OCTETS);
    c->mime = mime_new(&options);
    return c;
}

void
mime_convert_free(struct mime_convert *c)
{
    if (c == NULL)
        return;
    mime_free(c->mime);
    buf_fini(&c->made);
    buf_fini(&c->group);
    mem_free(c);
}

void
mime_convert_take(struct mime_convert *c, struct slice octets)
{
    mime_take(c->mime, octets);
}

enum result
mime_convert_end(struct mime_convert *c, struct why *why)
{
    enum result res = mime_end(c->mime, why);

    flush(c);
    return res;
}
