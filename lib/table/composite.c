/*
 * composite - tables made of others: unionmap:{a, b} joins the results of all,
 * pipemap:{a, b} asks each for what the one before it answered; and
 * randmap:{x, y}, which answers with one of its words at random.
 */
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "lib/config/config.h"
#include "lib/table/table_type.h"

enum { VALUE_MAX = 1024 * 1024 }; /* octets of what goes from table to table */

struct composite {
    struct table **tables;
    size_t count;
};

static void
composite_close(struct table *t)
{
    struct composite *c = t->state;

    for (size_t i = 0; i < c->count; i++)
        table_close(c->tables[i]);
    mem_free(c->tables);
    mem_free(c);
}

static enum result
take_list(const struct table *t, struct slice *list, struct why *why)
{
    struct slice rest, first;

    /* It has something between its commas. */
    if (!table_take_off_braces(slice_of(t->name), list) ||
        (rest = *list, !config_list_next(&rest, &first)))
        return why_perm(why, "5.3.5",
            "bad syntax: \"%s\"; need \"%s:{type:name...}\"", t->spec,
            t->type->name);
    return RESULT_OK;
}

/* A union of fixed keys has fixed keys; with patterns in it, it has none. */
static enum result
composite_open(struct table *t, const struct config *config, struct why *why)
{
    struct composite *c = mem_alloc(sizeof(*c));
    struct slice rest, spec;
    enum result res = take_list(t, &rest, why);

    t->state = c;
    while (res == RESULT_OK && config_list_next(&rest, &spec)) {
        c->tables = mem_resize(c->tables,
            (c->count + 1) * sizeof(struct table *));
        res = table_open_with(spec, t->open_flags, config, &c->tables[c->count],
            why);
        if (res != RESULT_OK)
            break;
        if (table_matches_whole_keys(c->tables[c->count]))
            t->flags |= TABLE_WHOLE_KEYS;
        c->count++;
    }
    if (res != RESULT_OK)
        composite_close(t);
    return res;
}

static enum table_status
union_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    const struct composite *c = t->state;
    enum table_status status = TABLE_NOT_FOUND;
    struct buf one;

    buf_init(&one, VALUE_MAX);
    for (size_t i = 0; i < c->count && status != TABLE_ERROR; i++) {
        switch (table_find(c->tables[i], key, &one, why)) {
        case TABLE_NOT_FOUND:
            break;
        case TABLE_ERROR:
            status = TABLE_ERROR;
            break;
        case TABLE_FOUND:
            if (status == TABLE_FOUND)
                buf_add_octet(value, ',');
            buf_add(value, buf_slice(&one));
            status = TABLE_FOUND;
            break;
        }
    }
    buf_fini(&one);
    return status;
}

static enum table_status
pipe_find(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    const struct composite *c = t->state;
    enum table_status status = TABLE_FOUND;
    struct buf answer;

    buf_init(&answer, VALUE_MAX);
    buf_add(value, key);
    for (size_t i = 0; i < c->count && status == TABLE_FOUND; i++) {
        status = table_find(c->tables[i], buf_slice(value), &answer, why);
        buf_clear(value);
        buf_add(value, buf_slice(&answer));
    }
    buf_fini(&answer);
    return status;
}

const struct table_type table_type_unionmap = {
    .name = "unionmap",
    .flags = TABLE_KEEP_CASE, /* its tables fold what they want folded */
    .open = composite_open,
    .find = union_find,
    .close = composite_close,
};

const struct table_type table_type_pipemap = {
    .name = "pipemap",
    .flags = TABLE_KEEP_CASE,
    .open = composite_open,
    .find = pipe_find,
    .close = composite_close,
};

struct choices {
    struct slice *words; /* in the table's name */
    size_t count;
};

static void
rand_close(struct table *t)
{
    struct choices *c = t->state;

    mem_free(c->words);
    mem_free(c);
}

static enum result
rand_open(struct table *t, const struct config *config, struct why *why)
{
    struct choices *c;
    struct slice rest, word;
    enum result res = take_list(t, &rest, why);

    (void)config;
    if (res != RESULT_OK)
        return res;
    t->state = c = mem_alloc(sizeof(*c));
    while (config_list_next(&rest, &word)) {
        (void)table_take_off_braces(word, &word);
        c->words = mem_resize(c->words, (c->count + 1) * sizeof(word));
        c->words[c->count++] = word;
    }
    return RESULT_OK;
}

static enum table_status
rand_find(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    const struct choices *c = t->state;

    (void)key;
    (void)why;
    buf_add(value, c->words[random_below(c->count)]);
    return TABLE_FOUND;
}

const struct table_type table_type_randmap = {
    .name = "randmap",
    .flags = TABLE_KEEP_CASE,
    .open = rand_open,
    .find = rand_find,
    .close = rand_close,
};
