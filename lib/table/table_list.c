#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/table/table.h"

struct table_list {
    struct table **tables;
    size_t count;
};

static enum result
open_all(struct slice rest, unsigned flags, const struct config *config,
    struct table_list *list, struct why *why)
{
    struct slice spec;

    while (config_list_next(&rest, &spec)) {
        enum result res;

        list->tables = mem_resize(list->tables,
            (list->count + 1) * sizeof(struct table *));
        res = table_open_with(spec, flags, config, &list->tables[list->count],
            why);
        if (res != RESULT_OK)
            return res;
        list->count++;
    }
    return RESULT_OK;
}

enum result
table_list_open_with(const char *text, unsigned flags,
    const struct config *config, struct table_list **list, struct why *why)
{
    struct table_list *l = mem_alloc(sizeof(*l));
    enum result res = open_all(slice_of(text), flags, config, l, why);

    if (res != RESULT_OK) {
        table_list_close(l);
        return res;
    }
    *list = l;
    return RESULT_OK;
}

enum result
table_list_open(const char *text, const struct config *config,
    struct table_list **list, struct why *why)
{
    return table_list_open_with(text, 0, config, list, why);
}

void
table_list_close(struct table_list *list)
{
    if (list == NULL)
        return;
    for (size_t i = 0; i < list->count; i++)
        table_close(list->tables[i]);
    mem_free(list->tables);
    mem_free(list);
}

bool
table_list_empty(const struct table_list *list)
{
    return list->count == 0;
}

enum which { ALL_TABLES, FIXED_KEYS };

static enum table_status
find(struct table_list *list, enum which which, struct slice key,
    struct buf *value, struct why *why)
{
    buf_clear(value);
    for (size_t i = 0; i < list->count; i++) {
        struct table *t = list->tables[i];
        enum table_status status;

        if (which == FIXED_KEYS && table_matches_whole_keys(t))
            continue;
        status = table_find(t, key, value, why);
        if (status == TABLE_FOUND && value->len == 0) {
            /* Never a meaning in Postfix's tables: a mistake to be told. */
            (void)why_temp(why, "4.3.5",
                "%s: lookup of \"" SLICE_FMT "\" returns an empty result",
                table_name(t), SLICE_ARG(key));
            return TABLE_ERROR;
        }
        if (status != TABLE_NOT_FOUND)
            return status;
    }
    return TABLE_NOT_FOUND;
}

enum table_status
table_list_find(struct table_list *list, struct slice key, struct buf *value,
    struct why *why)
{
    return find(list, ALL_TABLES, key, value, why);
}

enum table_status
table_list_find_partial(struct table_list *list, struct slice key,
    struct buf *value, struct why *why)
{
    return find(list, FIXED_KEYS, key, value, why);
}
