/*
 * qmgr_world_lookup - the lookup of a world: questions gather, and each is
 * answered when the test lets it be, as the test says.
 */
#pragma once

#include "qmgr/resolve.h"
#include "tests/unit/qmgr_world_state.h"

WORLD_FN bool
world_resolve(void *context, const struct route_question *q,
    struct question *question)
{
    struct world *w = context;
    struct asked *a;

    if (w->no_lookup)
        return false;
    a = mem_alloc(sizeof(*a));
    a->question = question;
    w->route_use = q->use;
    (void)snprintf(a->recipient, sizeof(a->recipient), SLICE_FMT,
        SLICE_ARG(q->recipient));
    list_append(&w->asked, &a->link);
    return true;
}

WORLD_FN enum result
world_route(struct world *w, struct slice recipient, struct route *route,
    struct why *why)
{
    size_t at = slice_find(recipient, '@');

    (void)w;
    (void)why;
    *route = (struct route){ .class = CLASS_DEFAULT };
    (void)snprintf(route->transport, sizeof(route->transport), "smtp");
    (void)snprintf(route->nexthop, sizeof(route->nexthop), SLICE_FMT,
        SLICE_ARG(slice_skip(recipient, at + 1)));
    (void)snprintf(route->address, sizeof(route->address), SLICE_FMT,
        SLICE_ARG(recipient));
    return RESULT_OK;
}

WORLD_FN bool
world_step_route(struct world *w)
{
    struct list *it = list_take(&w->asked);
    struct route route;
    struct asked *a;
    enum result res;
    struct why why;

    if (it == NULL)
        return false;
    a = LIST_ENTRY(it, struct asked, link);
    res = (w->route == NULL ? world_route : w->route)(w, slice_of(a->recipient),
        &route, &why);
    resolve_answered(&w->q, a->question, res, &route, &why);
    mem_free(a);
    return true;
}

WORLD_FN void
world_verified(void *context, const struct verify_result *r)
{
    struct world *w = context;
    size_t len = strlen(w->verified);

    w->verified_count++;
    (void)snprintf(w->verified + len, WORLD_TEXT - len,
        SLICE_FMT "=%u:" SLICE_FMT ";", SLICE_ARG(r->address), r->verified,
        SLICE_ARG(r->text));
}
