#include "lib/base/mem.h"
#include "lib/config/expand.h"
#include "lib/config/set.h"
#include "lib/config/value.h"

void
scope_init(struct config_scope *scope, struct config_set *set,
    const struct config_scope *main)
{
    *scope = (struct config_scope){ .set = set, .main = main };
    map_init(&scope->own.map);
    map_init(&scope->derived.map);
    scope->texts = set_alloc(set, parameter_count() * sizeof(scope->texts[0]));
    scope->config.scope = scope;
}

void
scope_fini(struct config_scope *scope)
{
    map_fini(&scope->own.map);
    map_fini(&scope->derived.map);
}

struct assignment *
scope_origin(const struct config_scope *scope, struct slice name)
{
    struct assignment *a = assignments_find(&scope->own, name);

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

    if (text != NULL)
        return text;
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

/* The range of a text is that of its length. */
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
    /* What is wrong in main.cf was said when main.cf was evaluated. */
    if (scope->main != NULL && scope->main->texts[i] == NULL)
        return;
    report_error(report, a == NULL ? 0 : a->line, "%s = %.200s: %s", p->name,
        value, why->text);
}

static void
evaluate_one(struct config_scope *scope, size_t i, struct report *report)
{
    const struct parameter *p = parameter_at(i);
    const char *raw = scope_raw(scope, slice_of(p->name)), *value = raw;
    const struct config_scope *main = scope->main;
    struct why why;
    int64_t n;

    if (raw == NULL)
        raw = value = "";
    /* Most services override little: what cannot differ is shared. */
    if (main != NULL && strchr(raw, '$') == NULL && main->texts[i] != NULL &&
        strcmp(raw, main->texts[i]) == 0)
        value = main->texts[i];
    else if (p->type != PARAMETER_RAW &&
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
    const char *raw, struct report *report)
{
    const struct parameter *p = parameter_find(slice_of(a->name));
    struct slice transport;
    struct why why;
    int64_t n;

    a->value = NULL;
    if (p != NULL)
        return;
    if (scope_expand(scope, raw, &a->value, &why) != RESULT_OK) {
        report_error(report, a->line, "%s = %.200s: %s", a->name, raw,
            why.text);
        return;
    }
    p = parameter_find_suffix(slice_of(a->name), &transport);
    if (p != NULL && !scope_parse_value(p, a->value, &n, &why))
        report_error(report, a->line, "%s = %.200s: %s", a->name, a->value,
            why.text);
}

/* A class of main.cf whose $names an override of this scope changes. */
static void
derive(struct config_scope *scope, const struct assignment *a)
{
    const char *value, *old;
    struct why why;

    if (a->value == NULL || strchr(a->text, '$') == NULL ||
        assignments_find(&scope->own, slice_of(a->name)) != NULL)
        return;
    if (scope_expand(scope, a->text, &value, &why) == RESULT_OK &&
        strcmp(value, a->value) != 0)
        assignments_put(scope->set, &scope->derived, a->name, a->text, a->line,
            &old)
            ->value = value;
}

void
scope_evaluate(struct config_scope *scope, struct report *report)
{
    for (size_t i = 0; i < parameter_count(); i++)
        evaluate_one(scope, i, report);
    for (struct assignment *a = scope->own.first; a != NULL; a = a->next)
        evaluate_assignment(scope, a, a->text, report);
    if (scope->main == NULL)
        return;
    for (struct assignment *a = scope->main->own.first; a != NULL; a = a->next)
        derive(scope, a);
}
