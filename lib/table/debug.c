/*
 * debug - debug:type:name is type:name with each look-up logged.
 */
#include "lib/base/log.h"
#include "lib/table/table_type.h"

static enum result
debug_open(struct table *t, const struct config *config, struct why *why)
{
    struct slice inner = slice_of(t->name);
    struct table *table;
    enum result res;

    (void)table_take_off_braces(inner, &inner);
    res = table_open_with(inner, t->open_flags, config, &table, why);
    if (res != RESULT_OK)
        return res;
    t->state = table;
    t->flags = table->flags;
    return RESULT_OK;
}

static enum table_status
debug_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    enum table_status status = table_find_unfolded(t->state, key, value, why);
    const char *name = table_name(t->state);

    switch (status) {
    case TABLE_FOUND:
        log_info("%s lookup: \"" SLICE_FMT "\" = \"" SLICE_FMT "\"", name,
            SLICE_ARG(key), SLICE_ARG(buf_slice(value)));
        break;
    case TABLE_NOT_FOUND:
        log_info("%s lookup: \"" SLICE_FMT "\" = \"not_found\"", name,
            SLICE_ARG(key));
        break;
    case TABLE_ERROR:
        log_info("%s lookup: \"" SLICE_FMT "\" = \"error\"", name,
            SLICE_ARG(key));
        break;
    }
    return status;
}

static enum table_status
debug_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    log_info("%s sequence", table_name(t->state));
    return table_walk(t->state, fn, context, why);
}

static void
debug_close(struct table *t)
{
    table_close(t->state);
}

const struct table_type table_type_debug = {
    .name = "debug",
    .open = debug_open,
    .find = debug_find,
    .walk = debug_walk,
    .close = debug_close,
};
