#include "lib/base/mem.h"
#include "lib/config/expand.h"
#include "lib/config/set.h"
#include "lib/config/value.h"

/*
 * Most lines of master.cf override little. So it is kept what each value of
 * main.cf was made from, and a service evaluates only what its overrides can
 * reach: 200 services cost a few milliseconds instead of a hundred.
 */
struct recorder {
    struct slice name[200];
    size_t count;
};

void
scope_init(struct config_scope *scope, struct config_set *set,
    const struct config_scope *main)
{
    const size_t n = parameter_count();

    *scope = (struct config_scope){ .set = set, .main = main };
    map_init(&scope->own.map);
    map_init(&scope->derived.map);
    scope->texts = set_alloc(set, n * sizeof(scope->texts[0]));
    if (main == NULL)
        scope->refers = set_alloc(set, n * sizeof(scope->refers[0]));
    scope->config.scope = scope;
}

void
scope_fini(struct config_scope *scope)
{
    map_fini(&scope->own.map);
    map_fini(&scope->derived.map);
}

static void
record(const struct config_scope *scope, struct slice name)
{
    struct recorder *r = scope->recorder;

    if (r == NULL || r->count == sizeof(r->name) / sizeof(r->name[0]))
        return;
    for (size_t i = 0; i < r->count; i++) {
        if (slice_eq(r->name[i], name))
            return;
    }
    r->name[r->count++] = name;
}

struct assignment *
/* NOLINTNEXTLINE(misc-no-recursion): a scope has one main */
scope_origin(const struct config_scope *scope, struct slice name)
{
    struct assignment *a = assignments_find(&scope->own, name);

    record(scope, name);
    return a != NULL || scope->main == NULL ? a
                                            : scope_origin(scope->main, name);
}

/* Debian reads a myorigin that is a path from that file. */
static const char *
raw_origin(const struct config_scope *scope, const struct assignment *a)
{
    if (a->text[0] == '/' && strcmp(a->name, "myorigin") == 0)
        return fact_get(scope->set, set_format(scope->set, "file:%s", a->text));
    return a->text;
}

const char *
scope_raw(const struct config_scope *scope, struct slice name)
{
    const char *text = computed_always(scope, name);
    const struct assignment *a;
    const struct parameter *p;

    if (text != NULL) {
        record(scope, name);
        return text;
    }
    a = scope_origin(scope, name);
    if (a != NULL)
        return raw_origin(scope, a);
    text = computed_default(scope, name);
    if (text != NULL)
        return text;
    p = parameter_find(name);
    return p == NULL ? NULL : p->fallback;
}

static const char *
lookup(void *context, struct slice name)
{
    return scope_raw(context, name);
}

enum result
scope_expand(const struct config_scope *scope, const char *text,
    const char **value, struct why *why)
{
    struct buf to;
    enum result res;

    if (strchr(text, '$') == NULL) {
        *value = text;
        return RESULT_OK;
    }
    buf_init(&to, EXPAND_OCTETS_MAX);
    res = config_expand(slice_of(text), lookup, (void *)(uintptr_t)scope, &to,
        why);
    if (res == RESULT_OK)
        *value = set_text(scope->set, buf_slice(&to));
    buf_fini(&to);
    return res;
}

static bool
in_range(const struct parameter *p, int64_t n, struct why *why)
{
    int64_t factor = p->type == PARAMETER_TIME ? 1000 : 1;
    const char *unit = p->type == PARAMETER_TIME ? "s" : "";

    if (n < p->low * factor) {
        why_perm(why, "5.3.5", "less than %jd%s", (intmax_t)p->low, unit);
        return false;
    }
    if (p->high != 0 && n > p->high * factor) {
        why_perm(why, "5.3.5", "more than %jd%s", (intmax_t)p->high, unit);
        return false;
    }
    return true;
}

bool
scope_parse_value(const struct parameter *p, const char *value, int64_t *n,
    struct why *why)
{
    struct slice s = slice_trim(slice_of(value));
    bool yes = false;

    *n = 0;
    switch (p->type) {
    case PARAMETER_STR:
    case PARAMETER_RAW:
        if ((int64_t)s.len >= p->low)
            return true;
        why_perm(why, "5.3.5", "must not be empty");
        return false;
    case PARAMETER_BOOL:
        if (!value_parse_bool(s, &yes)) {
            why_perm(why, "5.3.5", "neither yes nor no");
            return false;
        }
        *n = yes;
        return true;
    case PARAMETER_INT:
        if (!value_parse_int(s, n)) {
            why_perm(why, "5.3.5", "not a number");
            return false;
        }
        return in_range(p, *n, why);
    case PARAMETER_SIZE:
        if (!value_parse_size(s, n)) {
            why_perm(why, "5.3.5", "not a number of octets");
            return false;
        }
        return in_range(p, *n, why);
    case PARAMETER_TIME:
        if (!config_parse_time(s, value_time_unit(p->fallback), n)) {
            why_perm(why, "5.3.5", "bad time value or unit");
            return false;
        }
        return in_range(p, *n, why);
    }
    return false;
}

static void
store(struct config *config, const struct parameter *p, const char *value,
    int64_t n)
{
    char *field = (char *)config + p->offset;

    switch (p->type) {
    case PARAMETER_STR:
    case PARAMETER_RAW:
        memcpy(field, &value, sizeof(value));
        break;
    case PARAMETER_BOOL:
        *(bool *)field = n != 0;
        break;
    case PARAMETER_INT:
    case PARAMETER_SIZE:
    case PARAMETER_TIME:
        memcpy(field, &n, sizeof(n));
        break;
    }
}

/* So that nothing is NULL where an error was reported and the set goes. */
static void
give_up(struct config_scope *scope, const struct parameter *p,
    struct report *report, const char *value, const struct why *why)
{
    const struct assignment *a = scope_origin(scope, slice_of(p->name));
    size_t i = (size_t)(p - parameter_at(0));

    store(&scope->config, p, "", 0);
    scope->texts[i] = NULL;
    /*
     * What is wrong in main.cf was said when main.cf was evaluated, and a
     * default is wrong because an assignment is that it refers to.
     */
    if ((scope->main != NULL && scope->main->texts[i] == NULL) ||
        (a == NULL && report->errors > 0))
        return;
    report_error(report, a == NULL ? 0 : a->line, "%s = %.200s: %s", p->name,
        value, why->text);
}

/* A list that is full may be short of a name: then everyone evaluates. */
static void
keep_references(const struct config_scope *scope, struct references *refers)
{
    const struct recorder *r = scope->recorder;
    struct slice *copy;

    if (r->count == 0)
        return;
    copy = set_alloc(scope->set, r->count * sizeof(copy[0]));
    memcpy(copy, r->name, r->count * sizeof(copy[0]));
    *refers = (struct references){ copy, r->count,
        r->count == sizeof(r->name) / sizeof(r->name[0]) };
    for (size_t i = 0; i < r->count; i++) {
        if (computed_always(scope, copy[i]) != NULL)
            refers->always = true;
    }
}

/* Whether this service changes what a value of main.cf was made from. */
static bool
reaches(const struct config_scope *scope, const struct references *refers)
{
    if (refers->always)
        return true;
    for (size_t i = 0; i < refers->count && scope->own.count > 0; i++) {
        if (assignments_find(&scope->own, refers->name[i]) != NULL)
            return true;
    }
    return false;
}

static void
evaluate_one(struct config_scope *scope, size_t i, struct report *report)
{
    const struct parameter *p = parameter_at(i);
    const char *raw = scope_raw(scope, slice_of(p->name)), *value = raw;
    struct why why;
    int64_t n;

    if (raw == NULL)
        raw = value = "";
    if (p->type != PARAMETER_RAW &&
        scope_expand(scope, raw, &value, &why) != RESULT_OK) {
        give_up(scope, p, report, raw, &why);
        return;
    }
    if (!scope_parse_value(p, value, &n, &why) ||
        !choice_check(p, value, &why)) {
        give_up(scope, p, report, value, &why);
        return;
    }
    scope->texts[i] = value;
    store(&scope->config, p, value, n);
}

/* Values of other names, which config_get() gives: restriction classes ... */
static void
evaluate_assignment(const struct config_scope *scope, struct assignment *a,
    struct report *report)
{
    const struct parameter *p = parameter_find(slice_of(a->name));
    struct slice transport;
    struct why why;
    int64_t n;

    a->value = NULL;
    if (p != NULL)
        return;
    if (scope_expand(scope, a->text, &a->value, &why) != RESULT_OK) {
        report_error(report, a->line, "%s = %.200s: %s", a->name, a->text,
            why.text);
        return;
    }
    p = parameter_find_suffix(slice_of(a->name), &transport);
    if (p != NULL && !scope_parse_value(p, a->value, &n, &why))
        report_error(report, a->line, "%s = %.200s: %s", a->name, a->value,
            why.text);
}

/* First what is set, then what has its default. */
static void
evaluate_some(struct config_scope *scope, bool set, struct report *report)
{
    for (size_t i = 0; i < parameter_count(); i++) {
        struct slice name = slice_of(parameter_at(i)->name);

        if ((assignments_find(&scope->own, name) != NULL) != set)
            continue;
        scope->recorder->count = 0;
        evaluate_one(scope, i, report);
        keep_references(scope, &scope->refers[i]);
    }
}

static void
evaluate_main(struct config_scope *scope, struct report *report)
{
    struct recorder recorder;

    scope->recorder = &recorder;
    evaluate_some(scope, true, report);
    for (struct assignment *a = scope->own.first; a != NULL; a = a->next) {
        recorder.count = 0;
        evaluate_assignment(scope, a, report);
        keep_references(scope, &a->refers);
    }
    evaluate_some(scope, false, report);
    scope->recorder = NULL;
}

/* A class of main.cf whose $names an override of this scope changes. */
static void
derive(struct config_scope *scope, const struct assignment *a)
{
    const char *value, *old;
    struct why why;

    if (a->value == NULL || !reaches(scope, &a->refers) ||
        assignments_find(&scope->own, slice_of(a->name)) != NULL)
        return;
    if (scope_expand(scope, a->text, &value, &why) == RESULT_OK &&
        strcmp(value, a->value) != 0)
        assignments_put(scope->set, &scope->derived, a->name, a->text, a->line,
            &old)
            ->value = value;
}

static void
evaluate_reached(struct config_scope *scope, bool set, struct report *report)
{
    for (size_t i = 0; i < parameter_count(); i++) {
        struct slice name = slice_of(parameter_at(i)->name);

        if (reaches(scope, &scope->main->refers[i]) &&
            (assignments_find(&scope->own, name) != NULL) == set)
            evaluate_one(scope, i, report);
    }
}

static void
evaluate_service(struct config_scope *scope, struct report *report)
{
    const struct config_scope *main = scope->main;
    const size_t n = parameter_count();

    scope->config = main->config;
    scope->config.scope = scope;
    memcpy(scope->texts, main->texts, n * sizeof(scope->texts[0]));
    evaluate_reached(scope, true, report);
    for (struct assignment *a = scope->own.first; a != NULL; a = a->next)
        evaluate_assignment(scope, a, report);
    evaluate_reached(scope, false, report);
    for (struct assignment *a = main->own.first; a != NULL; a = a->next)
        derive(scope, a);
}

void
scope_evaluate(struct config_scope *scope, struct report *report)
{
    if (scope->main == NULL)
        evaluate_main(scope, report);
    else
        evaluate_service(scope, report);
}
