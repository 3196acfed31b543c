#include "cmd/postmap/message.h"

#include "lib/base/buf.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FIELD_MAX = 16 * 1024 * 1024, /* octets */
    NESTING_MAX = 100,            /* mime_nesting_limit's default */
    BOUNDARY_MAX = 2048,          /* mime_boundary_length_limit's */
};

/* What the header that was read last says of the body behind it. */
enum body { BODY_PLAIN, BODY_MULTIPART, BODY_MESSAGE };

struct walk {
    unsigned keys;
    message_key_fn fn;
    void *context;
    bool stop;
    bool in_header, in_first_header;
    struct buf field; /* not yet complete */
    enum body body;
    char *boundary;                /* of a multipart/ that begins */
    char *boundaries[NESTING_MAX]; /* of those that are open */
    unsigned depth;
};

static void
give(struct walk *w, enum message_keys kind, struct slice key)
{
    if ((w->keys & kind) != 0 && !w->stop)
        w->stop = !w->fn(w->context, key);
}

/* A token or a quoted string; blanks around it are taken too. */
static struct slice
take_word(struct slice *rest, char end)
{
    struct slice word;
    size_t n = 0;

    *rest = slice_trim(*rest);
    if (rest->len > 0 && rest->ptr[0] == '"') {
        *rest = slice_skip(*rest, 1);
        n = slice_find(*rest, '"');
        word = slice_head(*rest, n);
        *rest = slice_skip(*rest, n + 1);
        *rest = slice_skip(*rest, slice_find(*rest, ';'));
        return word;
    }
    while (n < rest->len && rest->ptr[n] != end && rest->ptr[n] != ';')
        n++;
    word = slice_trim(slice_head(*rest, n));
    *rest = slice_skip(*rest, n);
    return word;
}

static void
take_boundary(struct walk *w, struct slice parameters)
{
    while (parameters.len > 0 && parameters.ptr[0] == ';') {
        struct slice name, value;

        parameters = slice_skip(parameters, 1);
        name = take_word(&parameters, '=');
        if (parameters.len == 0 || parameters.ptr[0] != '=')
            continue;
        parameters = slice_skip(parameters, 1);
        value = take_word(&parameters, ';');
        if (!slice_eq_nocase(name, SLICE_LIT("boundary")))
            continue;
        mem_free(w->boundary);
        w->boundary = mem_text_of(slice_head(value, BOUNDARY_MAX));
        return;
    }
}

static void
take_content_type(struct walk *w, struct slice value)
{
    struct slice type = take_word(&value, ';');

    w->body = BODY_PLAIN;
    if (slice_starts_nocase(type, SLICE_LIT("multipart/"))) {
        w->body = BODY_MULTIPART;
        take_boundary(w, value);
    } else if (slice_eq_nocase(type, SLICE_LIT("message/rfc822")) ||
        slice_eq_nocase(type, SLICE_LIT("message/global"))) {
        w->body = BODY_MESSAGE;
    }
}

static void
end_field(struct walk *w)
{
    const struct slice name = SLICE_LIT("content-type:");
    struct slice field = buf_slice(&w->field);

    if (field.len == 0)
        return;
    if (w->in_first_header || (w->keys & MESSAGE_MIME) != 0)
        give(w, MESSAGE_HEADER, field);
    if (slice_starts_nocase(field, name))
        take_content_type(w, slice_skip(field, name.len));
    buf_clear(&w->field);
}

/* The header is over: what comes is its body. */
static void
end_header(struct walk *w)
{
    end_field(w);
    w->in_header = w->in_first_header = false;
    if ((w->keys & MESSAGE_MIME) != 0 && w->body == BODY_MULTIPART &&
        w->boundary != NULL && w->depth < NESTING_MAX) {
        w->boundaries[w->depth++] = w->boundary;
        w->boundary = NULL;
    } else if ((w->keys & MESSAGE_MIME) != 0 && w->body == BODY_MESSAGE) {
        w->in_header = true;
    }
    w->body = BODY_PLAIN;
}

/* "name:", blanks allowed before the colon. */
static bool
is_field(struct slice line)
{
    size_t n = 0;

    while (n < line.len && line.ptr[n] > ' ' && line.ptr[n] < 127 &&
        line.ptr[n] != ':')
        n++;
    if (n == 0)
        return false;
    while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
        n++;
    return n < line.len && line.ptr[n] == ':';
}

/* True when the line is one of the boundaries that are open. */
static bool
take_delimiter(struct walk *w, struct slice line)
{
    if (!slice_starts(line, SLICE_LIT("--")))
        return false;
    for (unsigned i = w->depth; i-- > 0;) {
        struct slice boundary = slice_of(w->boundaries[i]);
        struct slice rest = slice_skip(line, 2);

        if (!slice_starts(rest, boundary))
            continue;
        rest = slice_skip(rest, boundary.len);
        while (w->depth > i + 1)
            mem_free(w->boundaries[--w->depth]);
        if (slice_starts(rest, SLICE_LIT("--"))) {
            mem_free(w->boundaries[--w->depth]);
        } else {
            end_field(w);
            w->in_header = true;
            w->body = BODY_PLAIN;
        }
        return true;
    }
    return false;
}

static void
take_line(struct walk *w, struct slice line)
{
    if (take_delimiter(w, line)) {
        give(w, MESSAGE_BODY, line);
        return;
    }
    if (!w->in_header) {
        give(w, MESSAGE_BODY, line);
        return;
    }
    if (w->field.len > 0 && line.len > 0 &&
        (line.ptr[0] == ' ' || line.ptr[0] == '\t')) {
        buf_add_octet(&w->field, '\n');
        buf_add(&w->field, line);
        return;
    }
    end_field(w);
    if (is_field(line)) {
        buf_add(&w->field, line);
        return;
    }
    end_header(w);
    give(w, MESSAGE_BODY, line);
    if (w->keys == MESSAGE_HEADER)
        w->stop = true;
}

enum result
message_each_key(FILE *from, unsigned keys, message_key_fn fn, void *context,
    struct why *why)
{
    struct walk w = { .keys = keys, .fn = fn, .context = context };
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    w.in_header = w.in_first_header = true;
    buf_init(&w.field, FIELD_MAX);
    while (!w.stop && (len = getline(&line, &room, from)) >= 0) {
        if (len > 0 && line[len - 1] == '\n')
            len--;
        take_line(&w, (struct slice){ line, (size_t)len });
    }
    end_field(&w);
    free(line);
    buf_fini(&w.field);
    mem_free(w.boundary);
    while (w.depth > 0)
        mem_free(w.boundaries[--w.depth]);
    return ferror(from) ? why_errno(why, "read standard input") : RESULT_OK;
}
