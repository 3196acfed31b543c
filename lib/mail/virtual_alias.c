#include "lib/mail/virtual_alias.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"

void
virtual_alias_init(struct virtual_alias *v, struct cleanup_profile *p,
    const char *id, struct arena *arena)
{
    *v = (struct virtual_alias){
        .profile = p,
        .id = id,
        .arena = arena,
        .room = (size_t)p->config->virtual_alias_expansion_limit,
    };
}

void
virtual_alias_fini(struct virtual_alias *v)
{
    mem_free(v->done);
    mem_free(v->todo);
    mem_free(v->depth);
}

static void
make_room(struct virtual_alias *v)
{
    if (v->done != NULL)
        return;
    v->done = mem_alloc_array(v->room, sizeof(*v->done));
    v->todo = mem_alloc_array(v->room, sizeof(*v->todo));
    v->depth = mem_alloc_array(v->room, sizeof(*v->depth));
}

static enum result
unreasonable(const struct virtual_alias *v, const char *what,
    struct slice address, struct why *why)
{
    log_write(LOG_LEVEL_WARNING, v->profile->tag,
        "%s: unreasonable virtual_alias_maps map %s for " SLICE_FMT
        " -- message not accepted, try again later",
        v->id, what, SLICE_ARG(address));
    return why_temp(why, "4.6.0", "Alias expansion error");
}

static bool
contains(const struct address_results *r, struct slice address)
{
    for (size_t i = 0; i < r->count; i++)
        if (slice_eq_nocase(r->list[i], address))
            return true;
    return false;
}

/*
 * Put the results where the alias was, first on top, so that the order stays.
 * One that is the alias itself is not expanded again: that is how a mailbox
 * keeps a copy.
 */
static enum result
push(struct virtual_alias *v, struct slice alias, unsigned depth,
    const struct address_results *r, struct why *why)
{
    const struct config *config = v->profile->config;

    if (v->done_count + v->todo_count + r->count > v->room)
        return unreasonable(v, "expansion size", alias, why);
    if (depth >= config->virtual_alias_recursion_limit)
        return unreasonable(v, "nesting", alias, why);
    if (contains(r, alias))
        v->done[v->done_count++] = alias;
    for (size_t i = r->count; i-- > 0;) {
        if (slice_eq_nocase(r->list[i], alias))
            continue;
        if (r->list[i].len >
            (uint64_t)config->virtual_alias_address_length_limit)
            return unreasonable(v, "result", alias, why);
        v->todo[v->todo_count] = r->list[i];
        v->depth[v->todo_count++] = depth + 1;
    }
    return RESULT_OK;
}

static enum result
step(struct virtual_alias *v, struct why *why)
{
    struct cleanup_profile *p = v->profile;
    struct slice address = v->todo[--v->todo_count];
    unsigned depth = v->depth[v->todo_count];
    struct address_results r;

    switch (address_map(p->classes, p->virtual_alias_maps,
        p->propagates_virtual, address, v->room, v->arena, &r, why)) {
    case TABLE_NOT_FOUND:
        v->done[v->done_count++] = address;
        return RESULT_OK;
    case TABLE_FOUND:
        return push(v, address, depth, &r, why);
    case TABLE_ERROR:
        break;
    }
    log_write(LOG_LEVEL_WARNING, p->tag,
        "%s: virtual_alias_maps map lookup problem for " SLICE_FMT
        " -- message not accepted, try again later: %s",
        v->id, SLICE_ARG(address), why->text);
    return why_temp(why, "4.3.0", "Error: queue file write error");
}

enum result
virtual_alias_expand(struct virtual_alias *v, struct slice address,
    struct address_results *results, struct why *why)
{
    enum result res = RESULT_OK;

    make_room(v);
    v->done_count = 0;
    v->todo_count = 1;
    v->todo[0] = address;
    v->depth[0] = 0;
    while (res == RESULT_OK && v->todo_count > 0)
        res = step(v, why);
    *results = (struct address_results){ v->done, v->done_count };
    return res;
}
