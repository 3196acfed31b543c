#include "cmd/postconf/postconf.h"

#include <stdio.h>

static bool
is_service(const struct config_set *set, struct slice name)
{
    for (size_t i = 0; i < set->count; i++) {
        if (slice_eq_text(name, set->services[i].name))
            return true;
    }
    return false;
}

static bool
is_used(const struct config_set *set, const struct names *names,
    const char *name)
{
    struct slice s = slice_of(name), transport;

    if (parameter_find(s) != NULL || names_has(names, s))
        return true;
    return parameter_find_suffix(s, &transport) != NULL &&
        is_service(set, transport);
}

static void
warn_unused(const struct config_set *set, const struct names *names,
    const struct assignments *list, const char *file)
{
    for (const struct assignment *a = list->first; a != NULL; a = a->next) {
        if (!is_used(set, names, a->name))
            postconf_warn("%s: unused parameter: %s=%s", file, a->name,
                a->text);
    }
}

void
warn_unused_main(const struct postconf *pc)
{
    struct names names;

    names_init(&names, pc->set);
    warn_unused(pc->set, &names, &pc->set->main.own, pc->set->main_file);
    names_fini(&names);
}

void
warn_unused_overrides(const struct postconf *pc)
{
    struct names names;

    names_init(&names, pc->set);
    for (size_t i = 0; i < pc->set->count; i++)
        warn_unused(pc->set, &names, &pc->set->scopes[i].own,
            pc->set->master_file);
    names_fini(&names);
}
