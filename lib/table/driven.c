/*
 * driven - tables whose servers are asked by a module: pgsql, mysql, sqlite,
 * ldap. Hosts in random order with fail-over, connections kept and shared, each
 * table with threads of its own, so that a slow one makes only those wait who
 * ask it.
 */
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/io/offload.h"
#include "lib/table/driver.h"
#include "lib/table/hosts.h"
#include "lib/table/settings.h"
#include "lib/table/template.h"

#include <dlfcn.h>

enum {
    CONNECTIONS_MAX = 8, /* threads, and so connections in use */
    IDLE_MS = 60 * 1000, /* as pgsql_table(5) has it */
    WAIT_MS = 10 * 1000, /* timeout's default, ldap_table(5)'s */
    QUERY_MAX = 256 * 1024,
};

struct connection {
    struct list node; /* among the idle, last used last */
    void *handle;     /* the module's */
    struct host *host;
    int64_t used_ms;
    bool fresh;
};

struct driven {
    const char *spec; /* of the table, for messages */
    const struct table_driver *driver;
    void *module;
    struct settings *settings;
    struct driver_settings given;
    struct results results;
    struct hosts hosts;
    char *query, *base;
    int64_t wait_ms;
    struct list idle;
    struct offload_pool *pool;
};

static const char *
get_setting(const void *context, const char *name)
{
    return settings_get(context, name);
}

static void
disconnect(struct driven *s, struct connection *c)
{
    s->driver->disconnect(c->handle);
    mem_free(c);
}

static void
driven_close(struct table *t)
{
    struct driven *s = t->state;
    struct list *item;

    while ((item = list_take(&s->idle)) != NULL)
        disconnect(s, LIST_ENTRY(item, struct connection, node));
    offload_pool_free(s->pool);
    hosts_fini(&s->hosts);
    results_close(&s->results);
    settings_close(s->settings);
    mem_free(s->query);
    mem_free(s->base);
    /* The module stays: client libraries do not like to be unloaded. */
    mem_free(s);
}

static enum result
load_module(struct driven *s, const struct table *t,
    const struct config *config, struct why *why)
{
    char *path = mem_format("%s/../../lib/postern/%s.so",
        config->daemon_directory, t->type->name);
    const char *problem = "another version";
    enum result res = RESULT_OK;

    s->module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (s->module != NULL)
        s->driver = dlsym(s->module, "postern_table_driver");
    else
        problem = dlerror();
    if (s->driver == NULL || s->driver->version != TABLE_DRIVER_VERSION)
        res = why_perm(why, "5.3.5",
            "unsupported dictionary type: %s (module not loaded: %.200s)",
            t->type->name, problem);
    mem_free(path);
    return res;
}

/* What came before "query" in Postfix: see pgsql_table(5). */
static char *
old_query(const struct settings *set)
{
    const char *function = settings_text(set, "select_function", NULL);
    const char *table = settings_text(set, "table", NULL);
    const char *field = settings_text(set, "select_field", NULL);
    const char *where = settings_text(set, "where_field", NULL);

    if (function != NULL)
        return mem_format("SELECT %s('%%s')", function);
    if (table == NULL || field == NULL || where == NULL)
        return NULL;
    return mem_format("SELECT %s FROM %s WHERE %s = '%%s' %s", field, table,
        where, settings_text(set, "additional_conditions", ""));
}

static enum result
take_query(struct driven *s, const struct table *t, struct why *why)
{
    const struct table_driver *d = s->driver;
    const char *text = settings_text(s->settings, d->query, NULL);
    char bad = '\0';

    if (text != NULL)
        s->query = mem_text(text);
    else if (d->default_query != NULL)
        s->query = mem_text(d->default_query);
    else
        s->query = old_query(s->settings);
    if (s->query == NULL)
        return why_perm(why, "5.3.5", "%s: no %s", t->spec, d->query);
    s->base = mem_text(
        d->base == NULL ? "" : settings_text(s->settings, d->base, ""));
    if (!template_check(s->query, &bad) || !template_check(s->base, &bad))
        return why_perm(why, "5.3.5", "%s: invalid template: %%%c", t->spec,
            bad);
    return RESULT_OK;
}

static enum result
take_settings(struct driven *s, const struct table *t,
    const struct config *config, struct why *why)
{
    const struct table_driver *d = s->driver;
    struct driver_problem problem = { "" };
    enum result res = results_open(&s->results, t, s->settings, config, why);

    if (res == RESULT_OK)
        res = settings_time(s->settings, "timeout", &s->wait_ms, why);
    if (res == RESULT_OK)
        res = take_query(s, t, why);
    if (res != RESULT_OK)
        return res;
    hosts_init(&s->hosts,
        settings_text(s->settings, d->hosts,
            d->default_hosts == NULL ? "" : d->default_hosts));
    if (s->hosts.count == 0)
        return why_perm(why, "5.3.5", "%s: no %s", t->spec, d->hosts);
    if (d->check != NULL && !d->check(&s->given, &problem))
        return why_perm(why, "5.3.5", "%s: %s", t->spec, problem.text);
    return RESULT_OK;
}

static enum result
driven_open(struct table *t, const struct config *config, struct why *why)
{
    struct driven *s = mem_alloc(sizeof(*s));
    enum result res;

    list_init(&s->idle);
    s->spec = t->spec;
    s->wait_ms = WAIT_MS;
    t->state = s;
    res = load_module(s, t, config, why);
    if (res == RESULT_OK)
        res = settings_open(t, config, &s->settings, why);
    s->given = (struct driver_settings){ get_setting, s->settings };
    if (res == RESULT_OK)
        res = take_settings(s, t, config, why);
    if (res != RESULT_OK) {
        driven_close(t);
        return res;
    }
    s->pool = offload_pool_new(CONNECTIONS_MAX);
    return RESULT_OK;
}

/* What goes to another thread and comes back. */
struct question {
    struct driven *s;
    struct slice key;
    int64_t deadline_ms, connect_ms; /* until when; until when to connect */
    struct connection *c;
    struct buf text, base; /* the query as it is asked */
    struct buf *value;
    unsigned count;
    bool over; /* expansion_limit, or what value can hold */
    enum template_status made;
    enum driver_result result;
    struct driver_problem problem;
};

/* 0: it is too late. */
static unsigned
time_left(int64_t deadline_ms)
{
    int64_t left = deadline_ms - clock_now_ms();

    return left <= 0 ? 0 : (unsigned)left;
}

static void
connect_on_thread(void *arg)
{
    struct question *q = arg;
    unsigned left = time_left(q->connect_ms);

    if (left > 0)
        q->c->handle = q->s->driver->connect(&q->s->given, q->c->host->name,
            left, &q->problem);
}

struct quoting {
    const struct question *q;
    enum driver_quote kind;
};

static bool
quote(void *context, struct slice in, struct buf *to)
{
    const struct quoting *how = context;
    const struct question *q = how->q;
    char *room = buf_reserve(to, in.len * 3 + 1);

    if (room == NULL || memchr(in.ptr, '\0', in.len) != NULL ||
        !q->s->driver->quote(q->c->handle, how->kind, in.ptr, in.len, room))
        return false;
    buf_advance(to, strlen(room));
    return true;
}

static enum template_status
make_query(struct question *q)
{
    struct quoting query = { q, QUOTE_QUERY }, base = { q, QUOTE_BASE };
    enum template_status status;

    buf_clear(&q->text);
    buf_clear(&q->base);
    status = template_expand(q->s->query, q->key, q->key, quote, &query,
        &q->text);
    if (status == TEMPLATE_DONE)
        status = template_expand(q->s->base, q->key, q->key, quote, &base,
            &q->base);
    return status;
}

static bool
take_value(void *context, const char *octets, size_t size)
{
    struct question *q = context;
    const struct slice value = { octets, size };

    if (!results_add(&q->s->results, q->key, value, &q->count, q->value) ||
        buf_failed(q->value))
        q->over = true;
    return !q->over;
}

static void
ask_on_thread(void *arg)
{
    struct question *q = arg;
    struct driver_query query = {
        .timeout_ms = time_left(q->deadline_ms),
        .settings = &q->s->given,
        .value = take_value,
        .context = q,
    };

    q->made = make_query(q);
    if (q->made != TEMPLATE_DONE)
        return;
    buf_clear(q->value);
    q->count = 0;
    q->over = false;
    query.text = buf_text(&q->text);
    query.base = buf_text(&q->base);
    if (query.timeout_ms == 0)
        q->result = DRIVER_LOST;
    else
        q->result = q->s->driver->query_for(q->c->handle, &query, &q->problem);
}

/* Idle ones of host; those that are too old go. */
static struct connection *
take_idle(struct driven *s, const struct host *host)
{
    int64_t now = clock_now_ms();
    struct connection *found = NULL;

    list_foreach_safe (it, &s->idle) {
        struct connection *c = LIST_ENTRY(it, struct connection, node);

        if (c->used_ms + IDLE_MS <= now) {
            list_remove(&c->node);
            disconnect(s, c);
        } else if (c->host == host) {
            found = c; /* the last one */
        }
    }
    if (found != NULL)
        list_remove(&found->node);
    return found;
}

enum which { IDLE_OR_NEW, NEW };

/* False: the host does not take us. */
static bool
have_connection(struct question *q, struct host *host, enum which which)
{
    q->c = which == NEW ? NULL : take_idle(q->s, host);
    if (q->c != NULL)
        return true;
    q->c = mem_alloc(sizeof(*q->c));
    q->c->host = host;
    q->c->fresh = true;
    offload_to(q->s->pool, connect_on_thread, q);
    if (q->c->handle != NULL)
        return true;
    mem_free(q->c);
    q->c = NULL;
    return false;
}

static void
give_back(struct driven *s, struct connection *c)
{
    c->fresh = false;
    c->used_ms = clock_now_ms();
    list_append(&s->idle, &c->node);
}

/* True: answered, if only with an error that another host would give too. */
static bool
ask_host(struct question *q, struct host *host)
{
    enum which which = IDLE_OR_NEW;

    while (have_connection(q, host, which)) {
        bool fresh = q->c->fresh;

        offload_to(q->s->pool, ask_on_thread, q);
        if (q->made != TEMPLATE_DONE || q->result != DRIVER_LOST) {
            if (q->made == TEMPLATE_DONE && q->result == DRIVER_SPENT)
                disconnect(q->s, q->c);
            else
                give_back(q->s, q->c);
            host_works(host, q->s->spec);
            return true;
        }
        disconnect(q->s, q->c);
        if (fresh || time_left(q->deadline_ms) == 0)
            break;
        which = NEW;
    }
    if (q->problem.text[0] == '\0')
        q->problem = (struct driver_problem){ "no answer in time" };
    host_failed(host, q->s->spec, q->problem.text);
    return false;
}

static enum table_status
ask_hosts(struct question *q)
{
    uint64_t tried = 0;
    struct host *host;

    while ((host = hosts_next(&q->s->hosts, &tried)) != NULL) {
        q->problem = (struct driver_problem){ "" };
        q->connect_ms = hosts_deadline(&q->s->hosts, tried, q->deadline_ms);
        if (!ask_host(q, host))
            continue;
        if (q->made != TEMPLATE_DONE)
            return TABLE_NOT_FOUND;
        if (q->over && buf_failed(q->value))
            q->problem = (struct driver_problem){ "the answer is too long" };
        else if (q->over)
            q->problem = (struct driver_problem){ "expansion_limit exceeded" };
        if (q->over || q->result != DRIVER_OK)
            return TABLE_ERROR;
        return q->count > 0 ? TABLE_FOUND : TABLE_NOT_FOUND;
    }
    return TABLE_ERROR;
}

static enum table_status
driven_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    struct driven *s = t->state;
    struct question q = { .s = s, .key = key, .value = value };
    enum table_status status = results_want(&s->results, key, why);

    if (status != TABLE_FOUND)
        return status;
    q.deadline_ms = clock_now_ms() + s->wait_ms;
    buf_init(&q.text, QUERY_MAX);
    buf_init(&q.base, QUERY_MAX);
    status = ask_hosts(&q);
    buf_fini(&q.text);
    buf_fini(&q.base);
    if (status == TABLE_ERROR)
        (void)why_temp(why, "4.3.0", "%s: %s", t->spec, q.problem.text);
    return status;
}

#define DRIVEN(type)                                                     \
    {                                                                    \
        .name = (type), .flags = TABLE_REMOTE | TABLE_HAS_FILE,          \
        .open = driven_open, .find = driven_find, .close = driven_close, \
    }

const struct table_type table_type_ldap = DRIVEN("ldap");
const struct table_type table_type_mysql = DRIVEN("mysql");
const struct table_type table_type_pgsql = DRIVEN("pgsql");
const struct table_type table_type_sqlite = DRIVEN("sqlite");
