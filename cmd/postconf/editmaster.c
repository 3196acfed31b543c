/*
 * Editing master.cf line by line. A line that changes is written anew, in the
 * form of "postconf -Mf"; comments that stood inside it come before it.
 */
#include "cmd/postconf/postconf.h"
#include "cmd/postconf/replace.h"
#include "lib/base/mem.h"

/* "service/type", "service/type/what" or either with "=value". */
struct request {
    char *service, *type, *what;
    const char *value;
    bool found;
};

struct edit {
    struct postconf *pc;
    struct report report;
    struct request *request;
    size_t requests;
    struct buf out;
    /* The logical line that is being read: */
    struct buf raw;      /* with the comments inside */
    struct buf comments; /* these alone */
    struct buf after;    /* comments that may turn out to be behind it */
    struct buf text;     /* the line, joined */
};

static struct request
parse_request(const struct postconf *pc, const char *argument)
{
    const char *equals = strchr(argument, '=');
    size_t len = equals == NULL ? strlen(argument)
                                : (size_t)(equals - argument);
    char *name = mem_text_of(slice_trim((struct slice){ argument, len }));
    bool two = pc->object == OBJECT_SERVICE;
    struct request r = { .service = name };

    if (strchr(argument, '\n') != NULL)
        postconf_fatal("-e, -X, or -# accepts no multi-line input");
    if ((pc->action == ACTION_EDIT) != (equals != NULL))
        postconf_fatal(equals == NULL
                ? "-e requires a value: \"%s\""
                : "-X or -# requires names without value: \"%s\"",
            argument);
    if (!two) {
        char *slash = strrchr(name, '/');

        if (slash == NULL)
            postconf_fatal("-%c requires service_name/type/%s: \"%s\"",
                pc->object == OBJECT_FIELD ? 'F' : 'P',
                pc->object == OBJECT_FIELD ? "field" : "parameter", argument);
        *slash = '\0';
        r.what = slash + 1;
    }
    r.type = strrchr(name, '/');
    if (r.type == NULL)
        postconf_fatal("service_name/type expected: \"%s\"", argument);
    *r.type++ = '\0';
    if (equals != NULL)
        r.value = equals + 1 + strspn(equals + 1, " \t");
    return r;
}

static bool
is_or_any(const char *pattern, const char *text)
{
    return strcmp(pattern, "*") == 0 || strcmp(pattern, text) == 0;
}

static bool
matches(const struct request *r, const struct master_entry *e)
{
    return is_or_any(r->service, e->field[MASTER_SERVICE]) &&
        is_or_any(r->type, e->field[MASTER_TYPE]);
}

/* Parse one line; a bad one ends the program. */
static struct master_entry
parse_entry(struct edit *e, struct slice text)
{
    struct master_entries one;
    struct master_entry entry;

    master_parse(text, &e->pc->set->arena, &e->report, &one);
    if (one.count != 1)
        postconf_fatal("bad field count: \"%.*s\"", SLICE_ARG(text));
    entry = one.entry[0];
    master_entries_fini(&one);
    return entry;
}

static struct master_entry
set_field(struct edit *e, const struct request *r,
    const struct master_entry *old)
{
    static const char *const names[MASTER_FIELDS] = { "service", "type",
        "private", "unprivileged", "chroot", "wakeup", "process_limit",
        "command" };
    struct master_entry new;
    struct buf line;
    bool known = false;

    buf_init(&line, 1 << 20);
    for (size_t i = 0; i < MASTER_FIELDS; i++) {
        bool this = strcmp(names[i], r->what) == 0;

        known |= this;
        buf_add_format(&line, "%s ", this ? r->value : old->field[i]);
    }
    if (!known)
        postconf_fatal("unknown service field: \"%s\"", r->what);
    /* The value of "command" has the arguments in it. */
    for (size_t i = 0; i < old->arguments && strcmp(r->what, "command") != 0;
         i++)
        buf_add_format(&line, "%s ", old->argument[i]);
    new = parse_entry(e, buf_slice(&line));
    buf_fini(&line);
    return new;
}

static void
add_override(struct buf *line, const char *name, const char *value)
{
    buf_add_format(line,
        strpbrk(value, " \t") != NULL ? "-o {%s=%s} " : "-o %s=%s ", name,
        value);
}

/* -Pe and -PX: the options are written anew. */
static struct master_entry
set_override(struct edit *e, const struct request *r,
    const struct master_entry *old)
{
    struct master_override o;
    struct master_entry new;
    struct buf line;
    size_t next = 0, kept = 0;
    unsigned verbose = 0;
    bool done = r->value == NULL;

    buf_init(&line, 1 << 20);
    for (size_t i = 0; i < MASTER_FIELDS; i++)
        buf_add_format(&line, "%s ", old->field[i]);
    while (master_next_override(old, &e->pc->set->arena, &e->report, &next,
        &verbose, &o)) {
        for (; kept < next && old->argument[kept][1] != 'o'; kept++)
            buf_add_format(&line, "%s ", old->argument[kept]);
        kept = next;
        if (strcmp(o.name, r->what) != 0) {
            add_override(&line, o.name, o.text);
        } else if (!done) {
            add_override(&line, o.name, r->value);
            done = true;
        }
    }
    for (; kept < next; kept++)
        buf_add_format(&line, "%s ", old->argument[kept]);
    if (!done)
        add_override(&line, r->what, r->value);
    for (; kept < old->arguments; kept++)
        buf_add_format(&line, "%s ", old->argument[kept]);
    new = parse_entry(e, buf_slice(&line));
    buf_fini(&line);
    return new;
}

static struct master_entry
apply(struct edit *e, const struct request *r, const struct master_entry *old)
{
    switch (e->pc->object) {
    case OBJECT_FIELD:
        return set_field(e, r, old);
    case OBJECT_PARAMETER:
        return set_override(e, r, old);
    case OBJECT_SERVICE:
    case OBJECT_MAIN:
        break;
    }
    return parse_entry(e, slice_of(r->value));
}

static void
add_commented(struct edit *e)
{
    struct slice rest = buf_slice(&e->raw), line;

    while (slice_line(&rest, &line)) {
        struct slice t = slice_trim(line);

        if (t.len > 0 && t.ptr[0] != '#')
            buf_add_octet(&e->out, '#');
        buf_add(&e->out, line);
        buf_add_octet(&e->out, '\n');
    }
}

static void
add_entry(struct edit *e, const struct master_entry *entry)
{
    struct buf line;

    buf_init(&line, 1 << 20);
    format_entry(e->pc, entry, NULL, true, &line);
    buf_add(&e->out, buf_slice(&line));
    buf_add_octet(&e->out, '\n');
    buf_fini(&line);
}

/* Several requests may be for one line. */
static void
edit_entry(struct edit *e)
{
    struct master_entry entry = parse_entry(e, buf_slice(&e->text));
    bool changed = false;

    for (size_t i = 0; i < e->requests; i++) {
        struct request *r = &e->request[i];

        if (!matches(r, &entry))
            continue;
        changed = r->found = true;
        if (e->pc->action == ACTION_EDIT || e->pc->object == OBJECT_PARAMETER)
            entry = apply(e, r, &entry);
    }
    if (!changed) {
        buf_add(&e->out, buf_slice(&e->raw));
    } else if (e->pc->action == ACTION_COMMENT) {
        add_commented(e);
    } else {
        buf_add(&e->out, buf_slice(&e->comments));
        if (e->pc->action == ACTION_EDIT || e->pc->object == OBJECT_PARAMETER)
            add_entry(e, &entry);
    }
}

static void
end_entry(struct edit *e)
{
    if (e->text.len > 0)
        edit_entry(e);
    buf_add(&e->out, buf_slice(&e->after));
    buf_clear(&e->raw);
    buf_clear(&e->comments);
    buf_clear(&e->after);
    buf_clear(&e->text);
}

static void
add_line(struct buf *to, struct slice line)
{
    buf_add(to, line);
    buf_add_octet(to, '\n');
}

static void
edit_text(struct edit *e, struct slice text)
{
    struct slice line;

    while (slice_line(&text, &line)) {
        struct slice t = slice_trim(line);

        if (t.len == 0 || t.ptr[0] == '#') {
            add_line(&e->after, line);
            continue;
        }
        if (line.ptr[0] != ' ' && line.ptr[0] != '\t') {
            end_entry(e);
        } else {
            buf_add(&e->raw, buf_slice(&e->after));
            buf_add(&e->comments, buf_slice(&e->after));
            buf_clear(&e->after);
        }
        add_line(&e->raw, line);
        buf_add(&e->text, line);
    }
    end_entry(e);
}

/* -Me of a service that is not there adds it. */
static void
append_new(struct edit *e)
{
    for (size_t i = 0; i < e->requests; i++) {
        const struct request *r = &e->request[i];
        struct master_entry entry;

        if (r->found)
            continue;
        if (e->pc->action != ACTION_EDIT)
            continue;
        if (e->pc->object != OBJECT_SERVICE) {
            postconf_warn("unmatched request: \"%s/%s/%s\"", r->service,
                r->type, r->what);
            continue;
        }
        entry = parse_entry(e, slice_of(r->value));
        add_entry(e, &entry);
    }
}

void
edit_master(struct postconf *pc)
{
    struct edit e = { .pc = pc, .report = { .tell = postconf_tell } };
    struct replacement file;

    e.request = mem_alloc_array(pc->arguments, sizeof(e.request[0]));
    for (size_t i = 0; i < pc->arguments; i++)
        e.request[e.requests++] = parse_request(pc, pc->argument[i]);
    buf_init(&e.out, 64 << 20);
    buf_init(&e.raw, 64 << 20);
    buf_init(&e.comments, 64 << 20);
    buf_init(&e.after, 64 << 20);
    buf_init(&e.text, 64 << 20);
    replace_begin(&file, pc->set->master_file);
    edit_text(&e, buf_slice(&file.text));
    append_new(&e);
    if (buf_failed(&e.out))
        postconf_fatal("%s: file too large", pc->set->master_file);
    replace_end(&file, buf_slice(&e.out));
    buf_fini(&e.out);
    buf_fini(&e.raw);
    buf_fini(&e.comments);
    buf_fini(&e.after);
    buf_fini(&e.text);
    for (size_t i = 0; i < e.requests; i++)
        mem_free(e.request[i].service);
    mem_free(e.request);
}
