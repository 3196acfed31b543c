#include "lib/mail/virtual_alias.h"

#include "lib/base/log.h"

/* An address on its way, with how many aliases it came through. */
struct expansion {
    struct cleanup_profile *profile;
    const struct config *config;
    const char *id;
    struct slice address; /* where it all began */
    struct arena *arena;
    struct slice *done, *todo; /* todo: a stack, with depth[] */
    unsigned *depth;
    size_t done_count, todo_count, room;
    struct why *why;
};

static enum result
unreasonable(struct expansion *x, const char *what)
{
    log_write(LOG_LEVEL_WARNING, x->profile->tag,
        "%s: unreasonable virtual_alias_maps map %s for " SLICE_FMT
        " -- message not accepted, try again later",
        x->id, what, SLICE_ARG(x->address));
    return why_temp(x->why, "4.6.0", "Alias expansion error");
}

static bool
make_room(struct expansion *x)
{
    x->done = arena_alloc(x->arena, x->room * sizeof(*x->done));
    x->todo = arena_alloc(x->arena, x->room * sizeof(*x->todo));
    x->depth = arena_alloc(x->arena, x->room * sizeof(*x->depth));
    return x->done != NULL && x->todo != NULL && x->depth != NULL;
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
push(struct expansion *x, struct slice alias, unsigned depth,
    const struct address_results *r)
{
    if (x->done_count + x->todo_count + r->count > x->room)
        return unreasonable(x, "expansion size");
    if (depth >= x->config->virtual_alias_recursion_limit)
        return unreasonable(x, "nesting");
    if (contains(r, alias))
        x->done[x->done_count++] = alias;
    for (size_t i = r->count; i-- > 0;) {
        if (slice_eq_nocase(r->list[i], alias))
            continue;
        if (r->list[i].len >
            (uint64_t)x->config->virtual_alias_address_length_limit)
            return unreasonable(x, "result");
        x->todo[x->todo_count] = r->list[i];
        x->depth[x->todo_count++] = depth + 1;
    }
    return RESULT_OK;
}

static enum result
step(struct expansion *x)
{
    struct cleanup_profile *p = x->profile;
    struct slice address = x->todo[--x->todo_count];
    unsigned depth = x->depth[x->todo_count];
    struct address_results r;

    switch (address_map(p->classes, p->virtual_alias_maps,
        p->propagates_virtual, address, x->room, x->arena, &r, x->why)) {
    case TABLE_NOT_FOUND:
        x->done[x->done_count++] = address;
        return RESULT_OK;
    case TABLE_FOUND:
        return push(x, address, depth, &r);
    case TABLE_ERROR:
        break;
    }
    log_write(LOG_LEVEL_WARNING, p->tag,
        "%s: virtual_alias_maps map lookup problem for " SLICE_FMT
        " -- message not accepted, try again later: %s",
        x->id, SLICE_ARG(address), x->why->text);
    return why_temp(x->why, "4.3.0", "Error: queue file write error");
}

enum result
virtual_alias_expand(struct cleanup_profile *p, const char *id,
    struct slice address, struct arena *arena, struct address_results *results,
    struct why *why)
{
    struct expansion x = {
        .profile = p,
        .config = p->config,
        .id = id,
        .address = address,
        .arena = arena,
        .room = (size_t)p->config->virtual_alias_expansion_limit,
        .why = why,
    };
    enum result res = RESULT_OK;

    if (!make_room(&x))
        return why_temp(why, "4.3.1", "message is too complex");
    x.todo[x.todo_count++] = address;
    while (res == RESULT_OK && x.todo_count > 0)
        res = step(&x);
    *results = (struct address_results){ x.done, x.done_count };
    return res;
}
