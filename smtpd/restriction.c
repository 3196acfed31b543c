#include "smtpd/restriction.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "smtpd/checks.h"
#include "smtpd/policy.h"

enum {
    CHECKS_MAX = 1000, /* in one list */
    NUMBER_MAX = 1000, /* seconds of sleep */
    CLASS_DEPTH = 20,  /* classes in classes, looking for what guards */
};

static const struct restriction class_restriction = { "restriction class",
    check_class, ARGUMENT_NONE, 0, NULL };
static const struct restriction stage_restriction = { "access table",
    check_stage_access, ARGUMENT_TABLE, 0, NULL };

static const struct restriction *
find(struct slice name)
{
    for (const struct restriction *r = restrictions; r->name != NULL; r++)
        if (slice_eq_nocase(name, slice_of(r->name)))
            return r;
    return NULL;
}

static const struct restriction_class *
find_class(const struct restriction_classes *classes, struct slice name)
{
    for (size_t i = 0; i < classes->count; i++)
        if (slice_eq_text(name, classes->classes[i].name))
            return &classes->classes[i];
    return NULL;
}

/* A parse under way. */
struct parse {
    const struct restriction_scope *scope;
    enum stage stage;
    struct slice rest;
    struct slice unknown;
    struct why *why;
};

static enum result
parse_table(struct parse *p, struct slice argument, struct check *c)
{
    if (slice_find(argument, ':') == argument.len)
        return why_perm(p->why, "4.3.5",
            "restriction %s: bad argument \"" SLICE_FMT
            "\": need maptype:mapname",
            c->what->name, SLICE_ARG(argument));
    if (p->scope->in_table && !table_is_harmless(argument))
        return why_perm(p->why, "4.3.5",
            "restriction %s: the configuration does not name \"" SLICE_FMT "\"",
            c->what->name, SLICE_ARG(argument));
    return table_open(argument, p->scope->config, &c->table, p->why);
}

static enum result
parse_argument(struct parse *p, struct slice argument, struct check *c)
{
    c->text = mem_text_of(argument);
    switch (c->what->argument) {
    case ARGUMENT_NUMBER:
        if (num_parse_u32(argument, NUMBER_MAX, &c->number))
            return RESULT_OK;
        return why_perm(p->why, "4.3.5",
            "restriction %s must be followed by number", c->what->name);
    case ARGUMENT_TABLE:
        return parse_table(p, argument, c);
    case ARGUMENT_DNS_LIST:
        return dns_list_parse(slice_of(c->text), &c->list, p->why);
    case ARGUMENT_POLICY:
        if (p->scope->in_table)
            return why_perm(p->why, "4.3.5",
                "restriction %s has to stand in a restriction class",
                c->what->name);
        return policy_parse(argument, p->scope->config, &c->policy, p->why);
    case ARGUMENT_NONE:
    case ARGUMENT_CHECK:
        break;
    }
    return RESULT_OK;
}

static enum result
unknown_word(struct parse *p, struct slice word)
{
    p->unknown = word;
    return why_perm(p->why, "4.3.5",
        "unknown or unsupported restriction: \"" SLICE_FMT "\"",
        SLICE_ARG(word));
}

/* What word is; a table alone is asked for what the list is about. */
static const struct restriction *
restriction_of(const struct parse *p, struct slice word, struct check *c)
{
    const struct restriction *what = find(word);

    if (what != NULL)
        return what;
    c->class = find_class(p->scope->classes, word);
    if (c->class != NULL)
        return &class_restriction;
    return slice_find(word, ':') < word.len ? &stage_restriction : NULL;
}

static enum result
parse_check(struct parse *p, struct slice word, struct check *c)
{
    struct slice argument = word;

    c->what = restriction_of(p, word, c);
    if (c->what == NULL)
        return unknown_word(p, word);
    if (p->stage == STAGE_REWRITE && c->what != &stage_restriction &&
        (c->what->flags & RESTRICTION_FOR_REWRITE) == 0)
        return why_perm(p->why, "4.3.5",
            "\"" SLICE_FMT "\" has no meaning there", SLICE_ARG(word));
    if (c->what->argument == ARGUMENT_NONE ||
        c->what->argument == ARGUMENT_CHECK)
        return RESULT_OK;
    if (c->what != &stage_restriction && !config_list_next(&p->rest, &argument))
        return why_perm(p->why, "4.3.5", "restriction %s requires an argument",
            c->what->name);
    return parse_argument(p, argument, c);
}

static void
check_fini(struct check *c)
{
    mem_free(c->text);
    table_close(c->table);
    policy_free(c->policy);
}

enum result
check_list_parse(const struct restriction_scope *scope, enum stage stage,
    struct slice text, struct check_list *list, struct slice *unknown,
    struct why *why)
{
    struct parse p = { .scope = scope,
        .stage = stage,
        .rest = text,
        .why = why };
    enum result res = RESULT_OK;
    struct slice word;

    *list = (struct check_list){ .count = 0 };
    while (res == RESULT_OK && config_list_next(&p.rest, &word)) {
        struct check c = { .what = NULL };

        if (list->count == CHECKS_MAX)
            return why_perm(why, "4.3.5", "more than %d restrictions",
                CHECKS_MAX);
        res = parse_check(&p, word, &c);
        list->checks = mem_resize(list->checks,
            (list->count + 1) * sizeof(*list->checks));
        list->checks[list->count++] = c;
    }
    if (unknown != NULL)
        *unknown = p.unknown;
    if (res == RESULT_OK && list->count > 0 &&
        list->checks[list->count - 1].what->argument == ARGUMENT_CHECK)
        return why_perm(why, "4.3.5", "\"%s\" needs a restriction behind it",
            list->checks[list->count - 1].what->name);
    return res;
}

void
check_list_free(struct check_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        check_fini(&list->checks[i]);
    mem_free(list->checks);
    *list = (struct check_list){ .count = 0 };
}

static bool
/* NOLINTNEXTLINE(misc-no-recursion): classes in classes, CLASS_DEPTH deep */
guards_relay(const struct check_list *list, unsigned depth)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct check *c = &list->checks[i];

        if (c->what->argument == ARGUMENT_CHECK)
            i++; /* warn_if_reject: the next one does not work */
        else if ((c->what->flags & RESTRICTION_GUARDS_RELAY) != 0 ||
            (c->class != NULL && depth > 0 &&
                guards_relay(&c->class->list, depth - 1)))
            return true;
    }
    return false;
}

bool
check_list_guards_relay(const struct check_list *list)
{
    return guards_relay(list, CLASS_DEPTH);
}

/* Classes */

static enum result
add_class(const struct config *config, struct slice name,
    struct restriction_classes *classes, struct why *why)
{
    struct restriction_class *class;

    classes->classes = mem_resize(classes->classes,
        (classes->count + 1) * sizeof(*classes->classes));
    class = &classes->classes[classes->count++];
    *class = (struct restriction_class){ .name = mem_text_of(name) };
    if (config_get(config, class->name) == NULL)
        return why_perm(why, "4.3.5",
            "parameter smtpd_restriction_classes: restriction class \"%s\" is "
            "undefined",
            class->name);
    return RESULT_OK;
}

static enum result
parse_class(const struct restriction_scope *scope,
    struct restriction_class *class, struct why *why)
{
    struct why wrong;
    enum result res = check_list_parse(scope, STAGE_COUNT,
        slice_of(config_get(scope->config, class->name)), &class->list, NULL,
        &wrong);

    if (res == RESULT_OK)
        return RESULT_OK;
    *why = wrong;
    return why_perm(why, wrong.status, "restriction class %s: %s", class->name,
        wrong.text);
}

/* All names first: a class may stand in one before it. */
enum result
restriction_classes_parse(const struct config *config,
    struct restriction_classes *classes, struct why *why)
{
    const struct restriction_scope scope = { config, classes };
    struct slice rest = slice_of(config->smtpd_restriction_classes), name;
    enum result res = RESULT_OK;

    *classes = (struct restriction_classes){ .count = 0 };
    while (res == RESULT_OK && config_list_next(&rest, &name))
        res = add_class(config, name, classes, why);
    for (size_t i = 0; res == RESULT_OK && i < classes->count; i++)
        res = parse_class(&scope, &classes->classes[i], why);
    return res;
}

void
restriction_classes_free(struct restriction_classes *classes)
{
    for (size_t i = 0; i < classes->count; i++) {
        check_list_free(&classes->classes[i].list);
        mem_free(classes->classes[i].name);
    }
    mem_free(classes->classes);
    *classes = (struct restriction_classes){ .count = 0 };
}
