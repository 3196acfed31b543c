#include "lib/config/set.h"

#include "lib/base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Not for peers to fill: what an admin's files may come to at most. */
enum { SET_OCTETS_MAX = 1 << 30 };

struct config_set *
set_new(const char *directory)
{
    struct config_set *set = mem_alloc(sizeof(*set));

    set->references = 1;
    arena_init(&set->arena, SET_OCTETS_MAX);
    map_init(&set->facts);
    set->directory = set_text(set, slice_of(directory));
    set->main_file = set_format(set, "%s/main.cf", directory);
    set->master_file = set_format(set, "%s/master.cf", directory);
    scope_init(&set->main, set, NULL);
    return set;
}

void
set_free(struct config_set *set)
{
    if (set == NULL)
        return;
    for (size_t i = 0; i < set->count; i++) {
        scope_fini(&set->scopes[i]);
        if (set->stressed[i].set != NULL)
            scope_fini(&set->stressed[i]);
    }
    scope_fini(&set->main);
    map_fini(&set->facts);
    master_entries_fini(&set->entries);
    arena_clear(&set->arena);
    mem_free(set);
}

/* A set past a gigabyte is a mistake that no caller can mend. */
static void *
checked(void *ptr)
{
    if (ptr == NULL)
        abort();
    return ptr;
}

void *
set_alloc(struct config_set *set, size_t size)
{
    return checked(arena_alloc(&set->arena, size));
}

const char *
set_text(struct config_set *set, struct slice s)
{
    return s.len == 0 ? "" : checked(arena_text(&set->arena, s));
}

const char *
set_format(struct config_set *set, const char *fmt, ...)
{
    char *text = NULL;
    const char *copy;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        abort();
    copy = set_text(set, slice_of(text));
    mem_free(text);
    return copy;
}

static bool
same_name(const struct map_node *node, const void *key)
{
    const struct assignment *a = (const struct assignment *)node;

    return slice_eq_text(*(const struct slice *)key, a->name);
}

struct assignment *
assignments_find(const struct assignments *a, struct slice name)
{
    return (struct assignment *)map_find(&a->map, map_hash_slice(name),
        same_name, &name);
}

struct assignment *
assignments_put(struct config_set *set, struct assignments *a, const char *name,
    const char *text, unsigned line, const char **old)
{
    struct assignment *new = assignments_find(a, slice_of(name));

    *old = new == NULL ? NULL : new->text;
    if (new == NULL) {
        new = set_alloc(set, sizeof(*new));
        new->name = name;
        map_add(&a->map, map_hash_slice(slice_of(name)), &new->node);
        *(a->last == NULL ? &a->first : &a->last->next) = new;
        a->last = new;
        a->count++;
    }
    new->text = text;
    new->line = line;
    return new;
}
