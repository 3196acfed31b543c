#include "lib/config/config.h"

#include "lib/config/lines.h"
#include "lib/config/set.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum result
read_all(int fd, const char *path, struct buf *text, struct why *why)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) < 0)
        return why_errno(why, "%s", path);
    if (!S_ISREG(st.st_mode))
        return why_perm(why, "5.3.5", "%s: not a regular file", path);
    if (st.st_size > FILE_OCTETS_MAX)
        return why_perm(why, "5.3.5", "%s: file too large", path);
    do {
        char *at = buf_reserve(text, 8192);

        if (at == NULL)
            return why_perm(why, "5.3.5", "%s: file too large", path);
        n = read(fd, at, 8192);
        if (n < 0)
            return why_errno(why, "%s: read", path);
        buf_advance(text, (size_t)n);
    } while (n > 0);
    if (text->len > 0 && memchr(text->ptr, '\0', text->len) != NULL)
        return why_perm(why, "5.3.5", "%s: holds a null octet", path);
    return RESULT_OK;
}

enum result
set_read_file(const char *path, enum file_need need, struct buf *text,
    struct why *why)
{
    /* O_NONBLOCK: a FIFO in its place must not hold us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    enum result res;

    if (fd < 0 && errno == ENOENT && need == FILE_OPTIONAL)
        return RESULT_OK;
    if (fd < 0)
        return why_errno(why, "open %s", path);
    res = read_all(fd, path, text, why);
    close(fd);
    return res;
}

/* master_cf with ptr NULL: main.cf alone. */
static enum result
build(struct config_set *set, struct slice main_cf, struct slice master_cf,
    config_report_fn tell, void *context, struct why *why)
{
    struct report main = { .tell = tell,
        .context = context,
        .file = set->main_file };
    struct report master = { .tell = tell,
        .context = context,
        .file = set->master_file };

    set->live = true;
    main_parse(set, main_cf, &main);
    scope_evaluate(&set->main, &main);
    if (master_cf.ptr != NULL) {
        master_parse(master_cf, &set->arena, &master, &set->entries);
        services_build(set, &master);
    }
    services_make_tags(set);
    state_check(set, &main, master_cf.ptr == NULL ? NULL : &master);
    set->live = false;
    if (main.errors + master.errors == 0)
        return RESULT_OK;
    return why_perm(why, "5.3.5", "%s",
        main.errors > 0 ? main.first : master.first);
}

const char *
config_default_directory(void)
{
    const char *dir = secure_getenv("MAIL_CONFIG");

    return dir != NULL && *dir != '\0' ? dir : "/etc/postern";
}

static enum result
load(const char *dir, bool services, config_report_fn tell, void *context,
    struct config_set **set, struct why *why)
{
    struct config_set *new = set_new(
        dir == NULL ? config_default_directory() : dir);
    struct slice master_cf = { 0 };
    struct buf main, master;
    enum result res;

    buf_init(&main, FILE_OCTETS_MAX);
    buf_init(&master, FILE_OCTETS_MAX);
    res = set_read_file(new->main_file,
        services ? FILE_REQUIRED : FILE_OPTIONAL, &main, why);
    if (res == RESULT_OK && services) {
        res = set_read_file(new->master_file, FILE_REQUIRED, &master, why);
        master_cf = slice_of(buf_text(&master));
    }
    if (res != RESULT_OK && tell != NULL)
        tell(context, CONFIG_ERROR, why->text);
    if (res == RESULT_OK)
        res = build(new, buf_slice(&main), master_cf, tell, context, why);
    buf_fini(&main);
    buf_fini(&master);
    if (res == RESULT_OK)
        *set = new;
    else
        set_free(new);
    return res;
}

enum result
config_load(const char *dir, config_report_fn report, void *context,
    struct config_set **set, struct why *why)
{
    return load(dir, true, report, context, set, why);
}

enum result
config_load_main(const char *dir, config_report_fn report, void *context,
    struct config_set **set, struct why *why)
{
    return load(dir, false, report, context, set, why);
}

enum result
config_from_text(const char *main_cf, const char *master_cf,
    struct config_set **set, struct why *why)
{
    struct config_set *new = set_new("/etc/postern");
    enum result res;

    res = build(new, slice_of(main_cf), slice_of(master_cf), NULL, NULL, why);
    if (res == RESULT_OK)
        *set = new;
    else
        set_free(new);
    return res;
}

struct each_text {
    void (*fn)(void *context, const struct config_text *text);
    void *context;
};

static void
tell_text(const struct each_text *each, const struct config_scope *scope,
    const char *name, const char *text)
{
    const struct config_text told = { name, text, scope->program,
        &scope->config };

    if (text != NULL && *text != '\0')
        each->fn(each->context, &told);
}

/* What a line has from main.cf as it is was told with main.cf. */
static void
each_parameter(const struct config_scope *scope, const struct each_text *each)
{
    for (size_t i = 0; i < parameter_count(); i++) {
        const struct parameter *p = parameter_at(i);

        if ((p->type == PARAMETER_STR || p->type == PARAMETER_RAW) &&
            (scope->main == NULL || scope->texts[i] != scope->main->texts[i]))
            tell_text(each, scope, p->name, scope->texts[i]);
    }
}

static void
each_own_name(const struct config_scope *scope, const struct assignments *names,
    const struct each_text *each)
{
    for (const struct assignment *a = names->first; a != NULL; a = a->next)
        if (parameter_find(slice_of(a->name)) == NULL)
            tell_text(each, scope, a->name,
                config_get(&scope->config, a->name));
}

static void
each_of_line(const struct config_scope *scope, const struct each_text *each)
{
    each_parameter(scope, each);
    each_own_name(scope, &scope->own, each);
    /* An override may change what main.cf's own texts come to. */
    if (scope->own.count > 0)
        each_own_name(scope, &scope->main->own, each);
}

void
config_each_text(const struct config_set *set,
    void (*fn)(void *context, const struct config_text *text), void *context)
{
    const struct each_text each = { fn, context };

    each_parameter(&set->main, &each);
    each_own_name(&set->main, &set->main.own, &each);
    for (size_t i = 0; i < set->count; i++) {
        each_of_line(&set->scopes[i], &each);
        if (set->services[i].stressed != NULL)
            each_of_line(&set->stressed[i], &each);
    }
}

bool
config_obeys(const char *program, const char *name)
{
    const struct parameter *p = parameter_find(slice_of(name));

    return p != NULL && parameter_applies(p, program);
}

struct config_set *
config_hold(struct config_set *set)
{
    set->references++;
    return set;
}

void
config_drop(struct config_set *set)
{
    if (set != NULL && --set->references == 0)
        set_free(set);
}

const struct config *
config_main(const struct config_set *set)
{
    return &set->main.config;
}

const char *
config_directory(const struct config_set *set)
{
    return set->directory;
}

size_t
config_service_count(const struct config_set *set)
{
    return set->count;
}

const struct service *
config_service(const struct config_set *set, size_t i)
{
    return i < set->count ? &set->services[i] : NULL;
}

const struct service *
config_find_service(const struct config_set *set, const char *name,
    const char *type)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct service *s = &set->services[i];

        if (strcmp(s->name, name) == 0 &&
            (type == NULL || strcmp(s->type, type) == 0))
            return s;
    }
    return NULL;
}

/* "smtp" is a listener as well as a transport: folded ones are never inet. */
static const struct service *
find_folded(const struct config_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct service *s = &set->services[i];

        if (strcmp(s->name, name) == 0 && strcmp(s->type, "inet") != 0)
            return s;
    }
    return config_find_service(set, name, NULL);
}

const struct config *
config_of_service(const struct config_set *set, const char *name)
{
    const struct service *s = find_folded(set, name);

    return s == NULL ? config_main(set) : s->config;
}

const char *
config_tag_of_service(const struct config_set *set, const char *name,
    const char *program)
{
    const struct service *s = find_folded(set, name);

    return s != NULL ? s->log_tag : services_tag(set, program);
}

const char *
config_get(const struct config *config, const char *name)
{
    const struct config_scope *scope = config->scope;
    struct slice s = slice_of(name);
    const struct parameter *p = parameter_find(s);
    const struct assignment *a;

    if (p != NULL)
        return scope->texts[p - parameter_at(0)];
    a = assignments_find(&scope->own, s);
    if (a == NULL)
        a = assignments_find(&scope->derived, s);
    if (a == NULL && scope->main != NULL)
        a = assignments_find(&scope->main->own, s);
    return a == NULL ? NULL : a->value;
}

/* Whose "-o" count for TRANSPORT_suffix: the scheduler's, or the agent's own. */
static const struct config *
config_of_suffix(const struct config_set *set, const char *transport,
    const struct parameter *p)
{
    return config_of_service(set,
        parameter_applies(p, "qmgr") ? "qmgr" : transport);
}

/*
 * TRANSPORT_suffix where it is set; else the transport's own default (of
 * local_destination_concurrency_limit, say); else what the suffix falls back
 * to. NULL: no such suffix.
 */
static const char *
transport_text(const struct config_set *set, const char *transport,
    const char *suffix, const struct parameter **p)
{
    char name[PARAMETER_NAME_MAX + 1];
    const struct config *config;
    const char *text = NULL;
    struct slice head;
    int n = snprintf(name, sizeof(name), "%s_%s", transport, suffix);

    if (n < 0 || (size_t)n >= sizeof(name))
        n = 0;
    *p = parameter_find_suffix((struct slice){ name, (size_t)n }, &head);
    if (*p == NULL || strcmp((*p)->name, suffix) != 0)
        return NULL;
    config = config_of_suffix(set, transport, *p);
    text = config_get(config, name);
    return text != NULL ? text : config_get(config, (*p)->fallback + 1);
}

int64_t
config_transport_number(const struct config_set *set, const char *transport,
    const char *suffix, int64_t fallback)
{
    const struct parameter *p;
    const char *text = transport_text(set, transport, suffix, &p);
    struct why why;
    int64_t n;

    if (text == NULL || p->type == PARAMETER_STR ||
        !scope_parse_value(p, text, &n, &why))
        return fallback;
    return n;
}

int64_t
config_transport_time(const struct config_set *set, const char *transport,
    const char *suffix, int64_t fallback)
{
    return config_transport_number(set, transport, suffix, fallback);
}

const char *
config_transport_text(const struct config_set *set, const char *transport,
    const char *suffix, const char *fallback)
{
    const struct parameter *p;
    const char *text = transport_text(set, transport, suffix, &p);

    return text == NULL ? fallback : text;
}
