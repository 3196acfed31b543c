/*
 * simple - tables without data of their own: static:, environ:, internal: and
 * fail:.
 */
#include "lib/base/mem.h"
#include "lib/table/table_type.h"

#include <stdlib.h>

static enum result
open_nothing(struct table *t, const struct config *config, struct why *why)
{
    (void)t;
    (void)config;
    (void)why;
    return RESULT_OK;
}

/* static:value, or static:{ value with blanks } */
static enum table_status
static_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    struct slice text = slice_of(t->name);

    (void)key;
    (void)why;
    (void)table_take_off_braces(text, &text);
    buf_add(value, text);
    return TABLE_FOUND;
}

static enum table_status
environ_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    char *name = mem_text_of(key);
    const char *text = getenv(name);

    (void)t;
    (void)why;
    mem_free(name);
    if (text == NULL)
        return TABLE_NOT_FOUND;
    buf_add_text(value, text);
    return TABLE_FOUND;
}

static enum table_status
fail_find(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    (void)key;
    (void)value;
    (void)why_temp(why, "4.3.0", "%s lookup error", t->spec);
    return TABLE_ERROR;
}

static enum table_status
fail_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    (void)fn;
    (void)context;
    (void)why_temp(why, "4.3.0", "%s lookup error", t->spec);
    return TABLE_ERROR;
}

/*
 * A table in the memory of one process, which nothing outside of it can fill:
 * empty for who asks by its name.
 */
static enum table_status
internal_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    (void)t;
    (void)key;
    (void)value;
    (void)why;
    return TABLE_NOT_FOUND;
}

static enum table_status
internal_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    (void)t;
    (void)fn;
    (void)context;
    (void)why;
    return TABLE_FOUND;
}

const struct table_type table_type_internal = {
    .name = "internal",
    .flags = TABLE_KEEP_CASE,
    .open = open_nothing,
    .find = internal_find,
    .walk = internal_walk,
};

const struct table_type table_type_static = {
    .name = "static",
    .flags = TABLE_KEEP_CASE,
    .open = open_nothing,
    .find = static_find,
};

const struct table_type table_type_environ = {
    .name = "environ",
    .open = open_nothing,
    .find = environ_find,
};

const struct table_type table_type_fail = {
    .name = "fail",
    .flags = TABLE_KEEP_CASE,
    .open = open_nothing,
    .find = fail_find,
    .walk = fail_walk,
};
