/*
 * texthash - a postmap(1) source file, read as it is. Read again when the file
 * changes; what was read before stays in use when that fails.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/table/file_watch.h"
#include "lib/table/pairs.h"
#include "lib/table/table_type.h"
#include "lib/table/text.h"

struct texthash {
    struct pairs pairs;
    struct file_watch watch;
};

static enum result
texthash_open(struct table *t, const struct config *config, struct why *why)
{
    struct texthash *s;

    (void)config;
    if (t->name[0] == '\0')
        return why_perm(why, "5.3.5", "%s: no file name", t->spec);
    s = mem_alloc(sizeof(*s));
    pairs_init(&s->pairs);
    t->state = s;
    return RESULT_OK;
}

struct loading {
    const struct table *table;
    struct pairs pairs;
    struct stat st;
    enum result res;
    struct why *why;
};

static enum result
add_line(void *context, unsigned number, struct slice line)
{
    struct loading *l = context;
    const char *name = l->table->name;
    struct slice key, value;

    if (!text_take_pair(name, number, line, &key, &value))
        return RESULT_OK;
    switch (pairs_add(&l->pairs, key, value)) {
    case PAIRS_ADDED:
        break;
    case PAIRS_DUPLICATE:
        log_warning("%s, line %u: duplicate entry: \"" SLICE_FMT "\"", name,
            number, SLICE_ARG(key));
        break;
    case PAIRS_FULL:
        log_warning("%s, line %u: table is full", name, number);
        break;
    }
    return RESULT_OK;
}

static void
read_pairs(void *arg)
{
    struct loading *l = arg;
    struct buf text;

    buf_init(&text, TEXT_FILE_MAX);
    l->res = text_read_file(l->table->name, &text, &l->st, l->why);
    if (l->res == RESULT_OK)
        (void)text_each_line(l->table->name, buf_slice(&text), add_line, l);
    buf_fini(&text);
}

/* What was read before stays in use meanwhile, and when that fails. */
static enum result
load(struct table *t, struct why *why)
{
    struct texthash *s = t->state;
    struct loading l = { .table = t, .why = why };

    pairs_init(&l.pairs);
    table_read_file(t->name, read_pairs, &l);
    if (l.res != RESULT_OK) {
        pairs_fini(&l.pairs);
        return l.res;
    }
    pairs_fini(&s->pairs);
    s->pairs = l.pairs;
    file_watch_set(&s->watch, &l.st);
    return RESULT_OK;
}

static enum table_status
texthash_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    struct texthash *s = t->state;

    if (table_refresh(t, &s->watch, t->name, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    return pairs_find(&s->pairs, key, value);
}

static enum table_status
texthash_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    struct texthash *s = t->state;

    if (table_refresh(t, &s->watch, t->name, load, why) == TABLE_ERROR)
        return TABLE_ERROR;
    pairs_walk(&s->pairs, fn, context);
    return TABLE_FOUND;
}

static void
texthash_close(struct table *t)
{
    struct texthash *s = t->state;

    pairs_fini(&s->pairs);
    mem_free(s);
}

const struct table_type table_type_texthash = {
    .name = "texthash",
    .open = texthash_open,
    .find = texthash_find,
    .walk = texthash_walk,
    .close = texthash_close,
};
