#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/config/set.h"

static bool
flag(const char *text, bool otherwise)
{
    return text[0] == '-' ? otherwise : text[0] == 'y';
}

/* The parser has let through "-" and digits alone. */
static int64_t
number(struct slice s, int64_t otherwise)
{
    uint32_t n;

    return num_parse_u32(s, INT32_MAX, &n) ? (int64_t)n : otherwise;
}

static const char *
last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static void
fill_fields(const struct config_set *set, const struct master_entry *e,
    struct service *s)
{
    struct slice wakeup = slice_of(e->field[MASTER_WAKEUP]);

    s->name = e->field[MASTER_SERVICE];
    s->type = e->field[MASTER_TYPE];
    s->program = last_part(e->field[MASTER_COMMAND]);
    s->private = strcmp(s->type, "inet") != 0 &&
        flag(e->field[MASTER_PRIVATE], true);
    s->unpriv = flag(e->field[MASTER_UNPRIV], true);
    s->chroot = flag(e->field[MASTER_CHROOT], false);
    s->wakeup_if_used = wakeup.ptr[wakeup.len - 1] == '?';
    if (s->wakeup_if_used)
        wakeup.len--;
    s->wakeup = number(wakeup, 0) * 1000;
    s->maxproc = number(slice_of(e->field[MASTER_MAXPROC]),
        set->main.config.default_process_limit);
}

/* -o into the scope, what follows into argv. */
static void
fill_arguments(struct config_set *set, const struct master_entry *e,
    struct service *s, struct config_scope *scope, struct report *report)
{
    struct master_override o;
    const char **argv, *old;
    size_t next = 0, n = 0;

    while (master_next_override(e, &set->arena, report, &next, &s->verbose, &o))
        assignments_put(set, &scope->own, o.name, o.text, e->line, &old);
    argv = set_alloc(set, (e->arguments - next + 2) * sizeof(argv[0]));
    argv[n++] = s->program;
    while (next < e->arguments) {
        argv[n] = master_unbrace(e->argument[next++], &set->arena);
        if (argv[n] != NULL) /* the parser has looked at the braces */
            n++;
    }
    s->argv = argv;
}

static bool
is_text(const struct parameter *p)
{
    return p->type == PARAMETER_STR || p->type == PARAMETER_RAW;
}

/* "$smtpd_reject_footer": what is expanded at use must not be so before. */
static bool
says_same(const struct config_scope *scope, const struct parameter *twin,
    const struct parameter *p)
{
    const char *raw = scope_raw(scope, slice_of(twin->name));

    return raw != NULL && raw[0] == '$' && strcmp(raw + 1, p->name) == 0;
}

typedef const struct parameter *(*twin_fn)(const struct parameter *p);

/*
 * lmtp is the SMTP client, and postscreen a part of the server, under other
 * parameter names.
 */
static void
take_names(struct config_scope *scope, twin_fn twin_of)
{
    for (size_t i = 0; i < parameter_count(); i++) {
        const struct parameter *p = parameter_at(i);
        const struct parameter *twin = twin_of(p);
        size_t size = p->type == PARAMETER_BOOL ? sizeof(bool) : 8;

        if (twin == NULL || is_text(twin) != is_text(p) ||
            (!is_text(p) && twin->type != p->type) || says_same(scope, twin, p))
            continue;
        memcpy((char *)&scope->config + p->offset,
            (const char *)&scope->config + twin->offset, size);
        scope->texts[i] = scope->texts[twin - parameter_at(0)];
    }
}

static void
prepare_one(struct config_set *set, size_t i, struct report *report)
{
    struct service *s = &set->services[i];
    struct config_scope *scope = &set->scopes[i];

    s->index = (unsigned)i;
    fill_fields(set, &set->entries.entry[i], s);
    scope_init(scope, set, &set->main);
    scope->service_name = s->name;
    scope->program = s->program;
    fill_arguments(set, &set->entries.entry[i], s, scope, report);
    s->config = &scope->config;
}

void
services_prepare(struct config_set *set, struct report *report)
{
    size_t count = set->entries.count;

    set->services = set_alloc(set, (count + 1) * sizeof(set->services[0]));
    set->scopes = set_alloc(set, (count + 1) * sizeof(set->scopes[0]));
    set->stressed = set_alloc(set, (count + 1) * sizeof(set->stressed[0]));
    for (; set->count < count; set->count++)
        prepare_one(set, set->count, report);
}

static bool
is_server(const char *program)
{
    return strcmp(program, "smtpd") == 0 || strcmp(program, "postscreen") == 0;
}

static void
evaluate(struct config_scope *scope, struct report *report)
{
    scope_evaluate(scope, report);
    if (strcmp(scope->program, "lmtp") == 0)
        take_names(scope, parameter_lmtp_twin);
    else if (strcmp(scope->program, "postscreen") == 0)
        take_names(scope, parameter_screen_twin);
}

/* The same line under overload. */
static void
build_stressed(struct config_set *set, size_t i, struct report *report)
{
    const struct config_scope *calm = &set->scopes[i];
    struct config_scope *scope = &set->stressed[i];
    const char *old;

    scope_init(scope, set, &set->main);
    scope->service_name = calm->service_name;
    scope->program = calm->program;
    for (const struct assignment *a = calm->own.first; a != NULL; a = a->next)
        assignments_put(set, &scope->own, a->name, a->text, a->line, &old);
    assignments_put(set, &scope->own, "stress", "yes",
        set->entries.entry[i].line, &old);
    evaluate(scope, report);
    set->services[i].stressed = &scope->config;
}

void
services_build(struct config_set *set, struct report *report)
{
    unsigned errors;

    services_prepare(set, report);
    for (size_t i = 0; i < set->count; i++) {
        struct config_scope *scope = &set->scopes[i];

        errors = report->errors;
        evaluate(scope, report);
        /* What is wrong anyway is said once. */
        if (is_server(scope->program) && report->errors == errors)
            build_stressed(set, i, report);
        set->services[i].log_tag = set_format(set, "%s/%s",
            scope->config.syslog_name, scope->program);
    }
}

static const char *const tagged[] = { "anvil", "bounce", "cleanup", "defer",
    "discard", "dnsblog", "error", "flush", "lmtp", "local", "lookup", "master",
    "pickup", "pipe", "postdrop", "postern", "postlog", "postqueue",
    "postscreen", "postsuper", "proxymap", "qmgr", "scache", "sendmail",
    "showq", "smtp", "smtpd", "tlsmgr", "trace", "trivial-rewrite", "verify",
    "virtual" };

enum { TAGGED = sizeof(tagged) / sizeof(tagged[0]) };

void
services_make_tags(struct config_set *set)
{
    const char *name = set->main.config.syslog_name;

    set->tags = set_alloc(set, TAGGED * sizeof(set->tags[0]));
    for (size_t i = 0; i < TAGGED; i++)
        set->tags[i] = set_format(set, "%s/%s", name, tagged[i]);
}

const char *
services_tag(const struct config_set *set, const char *program)
{
    for (size_t i = 0; i < TAGGED; i++) {
        if (strcmp(tagged[i], program) == 0)
            return set->tags[i];
    }
    return set->main.config.syslog_name;
}
