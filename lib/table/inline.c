/*
 * inline - a table in main.cf itself: inline:{ key = value, { key = some text }}
 */
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/table/pairs.h"
#include "lib/table/table_type.h"
#include "lib/table/text.h"

static enum result
fill(struct table *t, struct pairs *pairs, struct why *why)
{
    struct slice rest, element, key, value;

    if (!table_take_off_braces(slice_of(t->name), &rest))
        return why_perm(why, "5.3.5",
            "%s: need '{name=value...}' after inline:", t->spec);
    while (config_list_next(&rest, &element)) {
        struct slice text = element;

        if (element.ptr[0] == '{' && !table_take_off_braces(element, &text))
            return why_perm(why, "5.3.5", "%s: missing '}'", t->spec);
        if (!text_split_assignment(text, &key, &value))
            return why_perm(why, "5.3.5",
                "%s: need name=value in \"" SLICE_FMT "\"", t->spec,
                SLICE_ARG(element));
        if (pairs_add(pairs, key, value) == PAIRS_DUPLICATE)
            return why_perm(why, "5.3.5",
                "%s: duplicate entry: \"" SLICE_FMT "\"", t->spec,
                SLICE_ARG(key));
    }
    if (pairs->first == NULL)
        return why_perm(why, "5.3.5", "%s: empty inline table", t->spec);
    return RESULT_OK;
}

static void
inline_close(struct table *t)
{
    pairs_fini(t->state);
    mem_free(t->state);
}

static enum result
inline_open(struct table *t, const struct config *config, struct why *why)
{
    enum result res;

    (void)config;
    t->state = mem_alloc(sizeof(struct pairs));
    pairs_init(t->state);
    res = fill(t, t->state, why);
    if (res != RESULT_OK)
        inline_close(t);
    return res;
}

static enum table_status
inline_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    (void)why;
    return pairs_find(t->state, key, value);
}

static enum table_status
inline_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    (void)why;
    pairs_walk(t->state, fn, context);
    return TABLE_FOUND;
}

const struct table_type table_type_inline = {
    .name = "inline",
    .open = inline_open,
    .find = inline_find,
    .walk = inline_walk,
    .close = inline_close,
};
