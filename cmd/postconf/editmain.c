/*
 * Editing main.cf line by line: what is not asked for stays as it is, comments
 * in the middle of a replaced value included.
 */
#include "cmd/postconf/postconf.h"
#include "cmd/postconf/replace.h"
#include "lib/base/mem.h"

struct request {
    struct slice name, value;
    unsigned found;
};

struct edit {
    enum postconf_action action;
    const char *file;
    struct request *request;
    size_t requests;
    struct buf out;
};

static bool
is_comment(struct slice line)
{
    line = slice_trim(line);
    return line.len == 0 || line.ptr[0] == '#';
}

static bool
has_blank(struct slice s)
{
    return slice_find(s, ' ') < s.len || slice_find(s, '\t') < s.len;
}

static struct request
parse_request(const struct postconf *pc, const char *argument)
{
    struct slice s = slice_of(argument);
    size_t len = slice_find(s, '=');
    struct request r = { .name = slice_trim(slice_head(s, len)) };

    if (slice_find(s, '\n') < s.len)
        postconf_fatal("-e, -X, or -# accepts no multi-line input");
    if (pc->action != ACTION_EDIT) {
        if (len < s.len)
            postconf_fatal("-X or -# requires names without value");
        if (r.name.len == 0 || has_blank(r.name))
            postconf_fatal("-X or -# requires non-blank names");
        return r;
    }
    if (len == s.len || has_blank(r.name))
        postconf_fatal("missing '=' after attribute name: \"%s\"", argument);
    if (r.name.len == 0)
        postconf_fatal("missing attribute name: \"%s\"", argument);
    if (r.name.ptr[0] == '#')
        postconf_fatal("a name must not begin with \"#\": \"%s\"", argument);
    r.value = slice_trim(slice_skip(s, len + 1));
    return r;
}

static struct request *
find(struct edit *e, struct slice name)
{
    for (size_t i = e->requests; i-- > 0;) {
        if (slice_eq(e->request[i].name, name))
            return &e->request[i];
    }
    return NULL;
}

static void
add_line(struct buf *out, struct slice line)
{
    buf_add(out, line);
    buf_add_octet(out, '\n');
}

static void
add_setting(struct buf *out, const struct request *r)
{
    buf_add(out, r->name);
    buf_add_text(out, " = ");
    add_line(out, r->value);
}

/* The first line of a setting that is asked for. */
static void
begin_setting(struct edit *e, struct request *r, struct slice line)
{
    if (++r->found == 2)
        postconf_warn("%s: multiple entries for \"%.*s\"", e->file,
            SLICE_ARG(r->name));
    switch (e->action) {
    case ACTION_EDIT:
        add_setting(&e->out, r);
        break;
    case ACTION_COMMENT:
        buf_add_octet(&e->out, '#');
        add_line(&e->out, line);
        break;
    case ACTION_REMOVE:
    case ACTION_SHOW:
        break;
    }
}

static void
edit_text(struct edit *e, struct slice text)
{
    struct request *current = NULL;
    struct slice line;

    while (slice_line(&text, &line)) {
        if (is_comment(line)) {
            add_line(&e->out, line);
        } else if (line.ptr[0] == ' ' || line.ptr[0] == '\t') {
            if (current == NULL)
                add_line(&e->out, line);
            else if (e->action == ACTION_COMMENT) {
                buf_add_octet(&e->out, '#');
                add_line(&e->out, line);
            }
        } else {
            size_t len = slice_find(line, '=');

            current = len == line.len
                ? NULL
                : find(e, slice_trim(slice_head(line, len)));
            if (current == NULL)
                add_line(&e->out, line);
            else
                begin_setting(e, current, line);
        }
    }
}

/* A name that is given twice: the last counts, as in main.cf. */
static void
append_new(struct edit *e)
{
    for (size_t i = 0; e->action == ACTION_EDIT && i < e->requests; i++) {
        struct request *r = find(e, e->request[i].name);

        if (r->found++ == 0)
            add_setting(&e->out, r);
    }
}

void
edit_main(struct postconf *pc)
{
    struct edit e = { .action = pc->action, .file = pc->set->main_file };
    struct replacement file;

    e.request = mem_alloc_array(pc->arguments, sizeof(e.request[0]));
    for (size_t i = 0; i < pc->arguments; i++)
        e.request[e.requests++] = parse_request(pc, pc->argument[i]);
    buf_init(&e.out, 64 << 20);
    replace_begin(&file, pc->set->main_file);
    edit_text(&e, buf_slice(&file.text));
    append_new(&e);
    if (buf_failed(&e.out))
        postconf_fatal("%s: file too large", e.file);
    replace_end(&file, buf_slice(&e.out));
    buf_fini(&e.out);
    mem_free(e.request);
}
