/*
 * cleanup_envelope - sender and recipients as they enter the queue: in standard
 * form, aliases of virtual(5) expanded, each recipient once.
 */
#include "lib/base/map.h"
#include "lib/io/fiber.h"
#include "lib/mail/address.h"
#include "lib/mail/cleanup_state.h"
#include "lib/mail/rewrite.h"
#include "lib/mail/virtual_alias.h"

enum { YIELD_EVERY = 500 };

/* A recipient that there already is. */
struct known {
    struct map_node node;
    struct recipient rcpt;
};

struct mapping {
    struct cleanup *c;
    struct envelope env; /* with the new recipients */
    struct map known;    /* struct known, in the arena */
    struct virtual_alias aliases;
    struct why why;
};

static bool
same_recipient(const struct map_node *node, const void *key)
{
    const struct recipient *a = &((const struct known *)node)->rcpt;
    const struct recipient *b = key;

    _Static_assert(offsetof(struct known, node) == 0, "cast above");
    return slice_eq_nocase(a->address, b->address) &&
        slice_eq_nocase(a->original, b->original) &&
        slice_eq(a->orcpt, b->orcpt) && a->notify == b->notify &&
        a->expanded == b->expanded;
}

/* The filter remembers duplicate_filter_limit recipients, as Postfix's. */
static enum result
add_recipient(struct mapping *m, const struct recipient *r)
{
    const int64_t limit = m->c->config->duplicate_filter_limit;
    uint64_t hash = map_hash_slice_nocase(r->address);
    struct known *k;
    enum result res;

    if (map_find(&m->known, hash, same_recipient, r) != NULL)
        return RESULT_OK;
    res = envelope_take_recipient(&m->env, m->c->arena, r, &m->why);
    if (res != RESULT_OK || (limit > 0 && m->known.count >= (uint64_t)limit))
        return res;
    k = arena_alloc(m->c->arena, sizeof(*k));
    if (k == NULL)
        return why_temp(&m->why, "4.3.1", "message is too complex");
    k->rcpt = m->env.recipients[m->env.recipient_count - 1];
    map_add(&m->known, hash, &k->node);
    return RESULT_OK;
}

static enum result
standard_form(struct mapping *m, struct slice address, struct slice *out)
{
    return rewrite_address(m->c->profile->rewrite_config, REWRITE_LOCAL,
        address, m->c->arena, out, &m->why);
}

static bool
is_mapped(const struct cleanup *c)
{
    return (c->env.flags & ENVELOPE_NO_MAPPING) == 0;
}

/* The sender is told that alias was expanded, and of no other success. */
static enum result
note_expanded(struct mapping *m, struct recipient *r, struct slice alias)
{
    struct recipient told = *r;

    told.address = alias;
    told.expanded = 1;
    r->notify = notify_of_expanded(r->notify);
    return add_recipient(m, &told);
}

static enum result
map_recipient(struct mapping *m, const struct recipient *given)
{
    struct cleanup *c = m->c;
    struct recipient r = *given;
    struct address_results results = { &r.address, 1 };
    struct slice address;
    enum result res;

    if (r.original.len == 0)
        r.original = given->address;
    /* What a probe finds is about the address that it was asked for. */
    if (!c->config->enable_original_recipient &&
        (c->env.flags & ENVELOPE_PROBE) == 0)
        r.original = (struct slice){ 0 };
    res = standard_form(m, given->address, &address);
    results.list = &address;
    if (res == RESULT_OK && is_mapped(c) &&
        !table_list_empty(c->profile->virtual_alias_maps))
        res = virtual_alias_expand(&m->aliases, address, &results, &m->why);
    if (res == RESULT_OK && (r.notify & NOTIFY_SUCCESS) != 0 &&
        (results.count > 1 || !slice_eq(results.list[0], address)))
        res = note_expanded(m, &r, address);
    for (size_t i = 0; res == RESULT_OK && i < results.count; i++) {
        r.address = results.list[i];
        res = add_recipient(m, &r);
    }
    return res;
}

/*
 * Nobody hears of it when such a copy fails; mail of our own making gets none,
 * so that it cannot loop (always_bcc in postconf(5)).
 */
static enum result
add_always_bcc(struct mapping *m)
{
    struct slice to = slice_of(m->c->config->always_bcc);
    const struct recipient r = { .address = to, .notify = NOTIFY_NEVER };

    if (to.len == 0 || !is_mapped(m->c) ||
        (m->c->env.flags & ENVELOPE_INTERNAL) != 0)
        return RESULT_OK;
    return map_recipient(m, &r);
}

static enum result
map_all(struct mapping *m)
{
    const struct envelope *given = &m->c->env;
    enum result res = standard_form(m, given->sender, &m->env.sender);

    for (size_t i = 0; res == RESULT_OK && i < given->recipient_count; i++) {
        res = map_recipient(m, &given->recipients[i]);
        /* A long list lets the other sessions of the process on. */
        if ((i + 1) % YIELD_EVERY == 0 && fiber_self() != NULL)
            fiber_yield();
    }
    if (res == RESULT_OK)
        res = add_always_bcc(m);
    if (res == RESULT_OK && m->env.recipient_count == 0)
        res = why_perm(&m->why, "5.1.0", "Error: no recipients specified");
    return res;
}

void
cleanup_envelope(struct cleanup *c)
{
    struct mapping m = { .c = c, .env = c->env };
    enum result res;

    m.env.recipients = NULL;
    m.env.recipient_count = m.env.recipient_room = 0;
    map_init(&m.known);
    virtual_alias_init(&m.aliases, c->profile, c->id, c->arena);
    res = map_all(&m);
    virtual_alias_fini(&m.aliases);
    map_fini(&m.known);
    if (res == RESULT_OK)
        c->env = m.env;
    else
        cleanup_fail(c, res, &m.why);
}
