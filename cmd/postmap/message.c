#include "cmd/postmap/message.h"

#include "lib/base/buf.h"
#include "lib/mail/mime.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FIELD_MAX = 16 * 1024 * 1024, /* octets */
    LINE_MAX_OCTETS = 16 * 1024 * 1024,
    NESTING_MAX = 100,   /* mime_nesting_limit's default */
    BOUNDARY_MAX = 2048, /* mime_boundary_length_limit's */
};

struct keys {
    unsigned wanted;
    message_key_fn fn;
    void *context;
    bool stop;
    bool in_body;    /* of the message itself */
    struct buf line; /* of a body, not yet complete */
};

static void
give(struct keys *k, enum message_keys kind, struct slice key)
{
    if ((k->wanted & kind) != 0 && !k->stop)
        k->stop = !k->fn(k->context, key);
}

/* Line by line, without their ends. */
static void
take_body(struct keys *k, struct slice octets)
{
    while (octets.len > 0) {
        size_t n = slice_find(octets, '\n');

        buf_add(&k->line, slice_head(octets, n));
        if (n < octets.len) {
            give(k, MESSAGE_BODY, buf_slice(&k->line));
            buf_clear(&k->line);
        }
        octets = slice_skip(octets, n + 1);
    }
}

static struct slice
without_end(struct slice field)
{
    if (field.len > 0 && field.ptr[field.len - 1] == '\n')
        field.len--;
    return field;
}

/* Without MESSAGE_MIME all behind the first header is body. */
static void
take_piece(void *context, enum mime_piece kind, const struct mime_entity *e,
    struct slice octets)
{
    struct keys *k = context;
    bool header = kind == MIME_FIELD || kind == MIME_FIELD_REST;

    (void)e;
    if (header && (!k->in_body || (k->wanted & MESSAGE_MIME) != 0))
        give(k, MESSAGE_HEADER, without_end(octets));
    else
        take_body(k, octets);
    if (kind == MIME_HEADER_END)
        k->in_body = true;
    if (k->in_body && k->wanted == MESSAGE_HEADER)
        k->stop = true;
}

enum result
message_each_key(FILE *from, unsigned keys, message_key_fn fn, void *context,
    struct why *why)
{
    struct keys k = { .wanted = keys, .fn = fn, .context = context };
    const struct mime_options options = {
        .piece = take_piece,
        .context = &k,
        .nesting_max = NESTING_MAX,
        .boundary_max = BOUNDARY_MAX,
        .field_max = FIELD_MAX,
    };
    struct mime *mime = mime_new(&options);
    enum result res;
    char *line = NULL;
    size_t room = 0;
    ssize_t len;

    buf_init(&k.line, LINE_MAX_OCTETS);
    while (!k.stop && (len = getline(&line, &room, from)) >= 0)
        mime_take(mime, (struct slice){ line, (size_t)len });
    res = mime_end(mime, why);
    if (k.line.len > 0)
        give(&k, MESSAGE_BODY, buf_slice(&k.line));
    free(line);
    buf_fini(&k.line);
    mime_free(mime);
    return ferror(from) ? why_errno(why, "read standard input") : res;
}
