#include "lib/table/table.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/io/fiber.h"
#include "lib/io/offload.h"
#include "lib/table/asked.h"
#include "lib/table/cost.h"
#include "lib/table/file_watch.h"
#include "lib/table/table_type.h"

#include <assert.h>
#include <sys/stat.h>

static const struct table_type *const types[] = {
#if defined(HAVE_DB) || defined(HAVE_LMDB)
    &table_type_btree,
    &table_type_hash,
#endif
    &table_type_cache,
    &table_type_cdb,
    &table_type_cidr,
    &table_type_debug,
    &table_type_environ,
    &table_type_fail,
    &table_type_inline,
    &table_type_internal,
    &table_type_ldap,
#ifdef HAVE_LMDB
    &table_type_lmdb,
#endif
    &table_type_memcache,
#ifdef HAVE_PCRE2
    &table_type_pcre,
#endif
    &table_type_mysql,
    &table_type_pgsql,
    &table_type_pipemap,
    &table_type_randmap,
    &table_type_redis,
    &table_type_regexp,
    &table_type_socketmap,
    &table_type_sqlite,
    &table_type_static,
    &table_type_tcp,
    &table_type_texthash,
    &table_type_unionmap,
    &table_type_unix,
};

enum {
    TYPE_COUNT = sizeof(types) / sizeof(types[0]),
    LOADING_MS = 60 * 1000, /* the longest wait for a first reading */
    SOON_READ = 16 * 1024,  /* octets: some milliseconds, if all are patterns */
};

/* The tables that this process has open, by "type:name". */
static struct map open_tables;

const char *
table_type_name(size_t i)
{
    return i < TYPE_COUNT ? types[i]->name : NULL;
}

const struct table_type *
table_type_find(struct slice name)
{
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (slice_eq_text(name, types[i]->name))
            return types[i];
    return NULL;
}

bool
table_take_off_braces(struct slice in, struct slice *inside)
{
    in = slice_trim(in);
    if (in.len < 2 || in.ptr[0] != '{' || in.ptr[in.len - 1] != '}')
        return false;
    *inside = slice_trim((struct slice){ in.ptr + 1, in.len - 2 });
    return true;
}

struct identity {
    struct slice spec;
    unsigned flags;
};

/* Another fiber reads it: the old contents are good meanwhile, if there are any. */
static bool
wait_for_loading(struct table *t, const struct file_watch *watch)
{
    const int64_t deadline = clock_now_ms() + LOADING_MS;

    while (t->loading && !watch->known)
        if (fiber_cond_wait(&t->loaded, deadline) != WAIT_OK)
            return false;
    return true;
}

/* Once, not each second. */
static void
tell_outdated(struct table *t, const struct why *problem)
{
    if (!t->outdated)
        log_warning("%s: what was read before stays in use: %s", t->spec,
            problem->text);
    t->outdated = true;
}

enum table_status
table_refresh(struct table *t, struct file_watch *watch, const char *path,
    enum result (*load)(struct table *t, struct why *why), struct why *why)
{
    struct why problem;
    enum result res;

    if (!wait_for_loading(t, watch)) {
        (void)why_temp(why, "4.3.0", "%s is being read", t->spec);
        return TABLE_ERROR;
    }
    if (t->loading || !file_watch_changed(watch, path))
        return TABLE_FOUND;
    t->loading = true;
    res = load(t, &problem);
    t->loading = false;
    fiber_cond_broadcast(&t->loaded);
    if (res == RESULT_OK) {
        t->outdated = false;
        return TABLE_FOUND;
    }
    if (watch->known) {
        tell_outdated(t, &problem);
        return TABLE_FOUND;
    }
    (void)why_temp(why, "4.3.0", "%s is unavailable. %s", t->spec,
        problem.text);
    return TABLE_ERROR;
}

void
table_read_file(const char *path, void (*fn)(void *arg), void *arg)
{
    struct stat st;

    if (stat(path, &st) == 0 && st.st_size <= SOON_READ)
        fn(arg);
    else
        offload(fn, arg);
}

static bool
same_table(const struct map_node *node, const void *key)
{
    const struct table *t = (const struct table *)node;
    const struct identity *wanted = key;

    _Static_assert(offsetof(struct table, node) == 0, "cast above");
    return t->open_flags == wanted->flags &&
        slice_eq_text(wanted->spec, t->spec);
}

static struct table *
find_open(struct slice spec, unsigned flags)
{
    const struct identity wanted = { spec, flags };

    return (struct table *)map_find(&open_tables, map_hash_slice(spec),
        same_table, &wanted);
}

static enum result
open_new(struct slice spec, unsigned flags, const struct config *config,
    struct table **table, struct why *why)
{
    size_t colon = slice_find(spec, ':');
    const struct table_type *type = table_type_find(slice_head(spec, colon));
    struct table *t;
    enum result res;

    if (type == NULL)
        return why_perm(why, "5.3.5", "unsupported dictionary type: " SLICE_FMT,
            SLICE_ARG(slice_head(spec, colon)));
    if ((type->flags & TABLE_UNAUTHENTIC) && (flags & TABLE_NO_UNAUTHENTIC))
        return why_perm(why, "5.3.5",
            SLICE_FMT ": %s map is not allowed for security sensitive data",
            SLICE_ARG(spec), type->name);
    t = mem_alloc(sizeof(*t));
    t->flags = type->flags;
    if ((type->flags & TABLE_REMOTE) && asked_of_lookup())
        type = &table_type_asked;
    t->type = type;
    t->open_flags = flags;
    t->references = 1;
    fiber_cond_init(&t->loaded);
    t->spec = mem_text_of(spec);
    t->name = t->spec + colon + 1;
    res = type->open(t, config, why);
    if (res != RESULT_OK) {
        mem_free(t->spec);
        mem_free(t);
        return res;
    }
    map_add(&open_tables, map_hash_slice(spec), &t->node);
    *table = t;
    return RESULT_OK;
}

enum result
table_open_with(struct slice spec, unsigned flags, const struct config *config,
    struct table **table, struct why *why)
{
    const struct slice proxy = SLICE_LIT("proxy:");
    char *full = NULL;
    enum result res = RESULT_OK;

    while (slice_starts(spec, proxy))
        spec = slice_skip(spec, proxy.len);
    if (spec.len == 0)
        return why_perm(why, "5.3.5", "empty table name");
    if (slice_find(spec, ':') == spec.len) {
        full = mem_format("%s:" SLICE_FMT, config->default_database_type,
            SLICE_ARG(spec));
        spec = slice_of(full);
    }
    *table = find_open(spec, flags);
    if (*table != NULL)
        (*table)->references++;
    else
        res = open_new(spec, flags, config, table, why);
    mem_free(full);
    return res;
}

bool
table_is_harmless(struct slice spec)
{
    const struct slice proxy = SLICE_LIT("proxy:");

    while (slice_starts(spec, proxy))
        spec = slice_skip(spec, proxy.len);
    return slice_starts(spec, SLICE_LIT("inline:")) ||
        slice_starts(spec, SLICE_LIT("static:")) || find_open(spec, 0) != NULL;
}

enum result
table_open(struct slice spec, const struct config *config, struct table **table,
    struct why *why)
{
    return table_open_with(spec, 0, config, table, why);
}

void
table_forget_open(void)
{
    struct map_node *node;

    while ((node = map_first(&open_tables)) != NULL) {
        map_remove(&open_tables, node);
        ((struct table *)node)->forgotten = true;
    }
    map_fini(&open_tables);
}

void
table_close(struct table *t)
{
    if (t == NULL)
        return;
    assert(t->references > 0);
    if (--t->references > 0)
        return;
    if (!t->forgotten) {
        map_remove(&open_tables, &t->node);
        if (open_tables.count == 0)
            map_fini(&open_tables);
    }
    if (t->type->close != NULL)
        t->type->close(t);
    mem_free(t->spec);
    mem_free(t);
}

const char *
table_name(const struct table *t)
{
    return t->spec;
}

bool
table_matches_whole_keys(const struct table *t)
{
    return (t->flags & TABLE_WHOLE_KEYS) != 0;
}

static bool
has_own_file(const struct table *t)
{
    return (t->flags & TABLE_REMOTE) == 0 && t->name[0] == '/';
}

static void
warn_if_unavailable(struct table *t)
{
    struct buf value;
    struct why why;

    buf_init(&value, TABLE_KEY_MAX);
    if (table_find(t, SLICE_LIT("-"), &value, &why) == TABLE_ERROR)
        log_warning("%s", why.text);
    buf_fini(&value);
}

void
table_warn_unavailable(void)
{
    size_t count = 0;
    struct table **held = mem_alloc_array(open_tables.count + 1,
        sizeof(held[0]));

    /* Others may come and go while we wait. */
    for (struct map_node *node = map_first(&open_tables); node != NULL;
         node = map_after(&open_tables, node)) {
        held[count] = (struct table *)node;
        held[count++]->references++;
    }
    for (size_t i = 0; i < count; i++) {
        if (has_own_file(held[i]))
            warn_if_unavailable(held[i]);
        table_close(held[i]);
    }
    mem_free(held);
}

void
table_each_cost(void (*fn)(void *context, const char *spec,
                    const struct table_cost *cost),
    void *context)
{
    for (struct map_node *node = map_first(&open_tables); node != NULL;
         node = map_after(&open_tables, node)) {
        const struct table *t = (const struct table *)node;

        if (t->flags & TABLE_REMOTE)
            fn(context, t->spec, &t->cost);
    }
}

/* What did not fit is in part, or not, in value: that is no answer. */
static enum table_status
ask(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    enum table_status status = t->type->find(t, key, value, why);

    if (status != TABLE_FOUND || !buf_failed(value))
        return status;
    (void)why_temp(why, "4.3.0", "%s: value is too long", t->spec);
    return TABLE_ERROR;
}

/*
 * A table goes on being found while its find() waits: the caller's reference
 * keeps it.
 */
enum table_status
table_find_unfolded(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    const bool counted = (t->flags & TABLE_REMOTE) != 0;
    enum table_status status;
    int64_t before;

    buf_clear(value);
    if (!counted)
        return ask(t, key, value, why);
    before = clock_now_ms();
    t->cost.under_way++;
    status = ask(t, key, value, why);
    t->cost.under_way--;
    cost_count(&t->cost, status, (uint64_t)(clock_now_ms() - before));
    return status;
}

enum table_status
table_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    char folded[TABLE_KEY_MAX];
    bool changed = false;

    if (t->flags & TABLE_KEEP_CASE)
        return table_find_unfolded(t, key, value, why);
    if (key.len > sizeof(folded)) {
        buf_clear(value);
        return TABLE_NOT_FOUND;
    }
    for (size_t i = 0; i < key.len; i++) {
        char c = key.ptr[i];

        if (c >= 'A' && c <= 'Z') {
            c = (char)(c - 'A' + 'a');
            changed = true;
        }
        folded[i] = c;
    }
    if (changed)
        key.ptr = folded;
    return table_find_unfolded(t, key, value, why);
}

enum table_status
table_walk(struct table *t, table_walk_fn fn, void *context, struct why *why)
{
    if (t->type->walk == NULL) {
        (void)why_perm(why, "5.3.5", "table %s does not support a listing",
            t->spec);
        return TABLE_ERROR;
    }
    return t->type->walk(t, fn, context, why);
}
