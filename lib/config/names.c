#include "lib/base/mem.h"
#include "lib/config/expand.h"
#include "lib/config/set.h"

struct name {
    struct map_node node;
    struct slice name; /* borrows from the set or the table */
};

enum { NAMES_MAX = 64 << 20 };

static bool
same(const struct map_node *node, const void *key)
{
    return slice_eq(((const struct name *)node)->name,
        *(const struct slice *)key);
}

bool
names_has(const struct names *names, struct slice name)
{
    return map_find(&names->map, map_hash_slice(name), same, &name) != NULL;
}

static void
add(void *context, struct slice text)
{
    struct names *names = context;
    struct name *name;

    if (names_has(names, text))
        return;
    name = arena_alloc(&names->arena, sizeof(*name));
    if (name == NULL)
        return;
    name->name = text;
    map_add(&names->map, map_hash_slice(text), &name->node);
}

/* What does not parse has been reported where it was evaluated. */
static void
add_all_of(struct names *names, const char *text)
{
    struct why why;

    if (strchr(text, '$') != NULL &&
        expand_names(slice_of(text), add, names, &why) != RESULT_OK)
        return;
}

static void
add_assignments(struct names *names, const struct assignments *list)
{
    struct slice rest, word;

    for (const struct assignment *a = list->first; a != NULL; a = a->next) {
        add_all_of(names, a->text);
        /* Its elements name parameters without a "$". */
        if (strcmp(a->name, "smtpd_restriction_classes") != 0)
            continue;
        rest = slice_of(a->text);
        while (config_list_next(&rest, &word))
            add(names, word);
    }
}

void
names_init(struct names *names, const struct config_set *set)
{
    map_init(&names->map);
    arena_init(&names->arena, NAMES_MAX);
    for (size_t i = 0; i < parameter_count(); i++)
        add_all_of(names, parameter_at(i)->fallback);
    add_assignments(names, &set->main.own);
    for (size_t i = 0; i < set->count; i++)
        add_assignments(names, &set->scopes[i].own);
}

void
names_fini(struct names *names)
{
    map_fini(&names->map);
    arena_clear(&names->arena);
}
