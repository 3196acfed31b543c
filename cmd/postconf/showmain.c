#include "cmd/postconf/fold.h"
#include "cmd/postconf/postconf.h"
#include "lib/base/mem.h"

#include <stdio.h>
#include <stdlib.h>

/* The names to show, sorted. */
struct list {
    const char **name;
    size_t count, room;
};

static void
add(struct list *list, const char *name)
{
    if (list->count == list->room) {
        list->room = list->room == 0 ? 2048 : list->room * 2;
        list->name = mem_resize(list->name, list->room * sizeof(list->name[0]));
    }
    list->name[list->count++] = name;
}

static int
compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void
sort(struct list *list)
{
    size_t kept = 0;

    if (list->count == 0)
        return;
    qsort(list->name, list->count, sizeof(list->name[0]), compare);
    for (size_t i = 1; i < list->count; i++) {
        if (strcmp(list->name[kept], list->name[i]) != 0)
            list->name[++kept] = list->name[i];
    }
    list->count = kept + 1;
}

static void
show_one(const struct postconf *pc, const char *name, const char *text)
{
    const char *value = postconf_value(pc, &pc->set->main, text);
    struct buf line;
    struct fold f = { .to = &line, .limit = pc->fold ? FOLD_MAIN : 0 };

    buf_init(&line, 64 << 20);
    if (!pc->hide_names) {
        fold_text(&f, name);
        if (!pc->hide_values)
            fold_text(&f, " =");
    }
    if (!pc->hide_values)
        fold_words(&f, value);
    puts(buf_text(&line));
    buf_fini(&line);
}

/*
 * The unexpanded value of a name that exists: built in, of a service, or set
 * and referred to. NULL: there is no such parameter.
 */
static const char *
text_of(const struct postconf *pc, const struct names *names, const char *name)
{
    const struct config_scope *scope = &pc->set->main;
    struct slice s = slice_of(name), transport;
    const struct parameter *p;
    bool suffix;

    p = parameter_find_suffix(s, &transport);
    suffix = p != NULL &&
        config_find_service(pc->set, set_text(pc->set, transport), NULL);
    if (suffix && scope_raw(scope, s) == NULL)
        return p->fallback;
    if (parameter_find(s) != NULL || suffix || names_has(names, s))
        return scope_raw(scope, s);
    return NULL;
}

static void
show_named(const struct postconf *pc, const struct names *names)
{
    for (size_t i = 0; i < pc->arguments; i++) {
        const char *text = text_of(pc, names, pc->argument[i]);

        if (text == NULL)
            postconf_warn("%s: unknown parameter", pc->argument[i]);
        else
            show_one(pc, pc->argument[i], text);
    }
}

static bool
is_agent(const struct service *s, const struct parameter *suffix)
{
    static const char *const agents[] = { "discard", "error", "lmtp", "local",
        "pipe", "smtp", "virtual" };

    if (!parameter_applies(suffix, "qmgr"))
        return parameter_applies(suffix, s->program);
    for (size_t i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
        if (strcmp(s->program, agents[i]) == 0)
            return strcmp(s->type, "inet") != 0;
    }
    return false;
}

/* slow_destination_rate_delay ..., but not those that are built in. */
static void
add_suffixes(const struct postconf *pc, struct list *list)
{
    for (size_t i = 0; i < pc->set->count; i++) {
        const struct service *s = &pc->set->services[i];

        for (size_t n = 0; n < parameter_suffix_count(); n++) {
            const struct parameter *p = parameter_suffix_at(n);
            const char *name;

            if (!is_agent(s, p))
                continue;
            name = set_format(pc->set, "%s_%s", s->name, p->name);
            if (parameter_find(slice_of(name)) == NULL)
                add(list, name);
        }
    }
}

static void
add_user_names(const struct postconf *pc, const struct names *names,
    struct list *list)
{
    const struct assignment *a;
    struct slice transport;

    for (a = pc->set->main.own.first; a != NULL; a = a->next) {
        if (parameter_find(slice_of(a->name)) == NULL &&
            parameter_find_suffix(slice_of(a->name), &transport) == NULL &&
            names_has(names, slice_of(a->name)))
            add(list, a->name);
    }
}

/* With -c, config_directory counts as set. */
static bool
is_set(const struct postconf *pc, const char *name)
{
    if (strcmp(name, "config_directory") == 0)
        return strcmp(pc->directory, "/etc/postern") != 0;
    return scope_origin(&pc->set->main, slice_of(name)) != NULL;
}

static void
show_all(const struct postconf *pc, const struct names *names)
{
    struct list list = { 0 };

    for (size_t i = 0; (pc->classes & CLASS_BUILTIN) && i < parameter_count();
         i++)
        add(&list, parameter_at(i)->name);
    if (pc->classes & CLASS_SERVICE)
        add_suffixes(pc, &list);
    if (pc->classes & CLASS_USER)
        add_user_names(pc, names, &list);
    sort(&list);
    for (size_t i = 0; i < list.count; i++) {
        const char *text = text_of(pc, names, list.name[i]);

        if (text != NULL && (!pc->set_only || is_set(pc, list.name[i])))
            show_one(pc, list.name[i], text);
    }
    mem_free(list.name);
}

void
show_main(struct postconf *pc)
{
    struct names names;

    names_init(&names, pc->set);
    if (pc->arguments > 0)
        show_named(pc, &names);
    else
        show_all(pc, &names);
    names_fini(&names);
    if (!pc->defaults)
        warn_unused_main(pc);
}
