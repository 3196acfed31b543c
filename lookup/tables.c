#include "lookup/tables.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/table/asked.h"
#include "lib/table/named.h"
#include "lib/table/table_files.h"
#include "lookup/refusal.h"

enum { VALUE_MAX = 1024 * 1024 }; /* octets of an answer */

/* Stays open as long as the configuration: connections are shared. */
struct opened {
    struct opened *next;
    struct table *table;
};

struct tables {
    unsigned references;
    struct config_set *set;
    struct named_tables named;
    struct opened *opened;
    struct slice before; /* the files, until these are accepted or refused */
};

enum result
tables_open(struct config_set *set, struct tables **tables, struct why *why)
{
    struct slice before;
    struct tables *t;
    enum result res = table_files_take(daemon_private(), &before, why);

    if (res != RESULT_OK)
        return res;
    /* Also for the router: what it opens next has the new settings. */
    table_forget_open();
    t = mem_alloc(sizeof(*t));
    t->references = 1;
    t->set = config_hold(set);
    t->before = before;
    named_tables_init(&t->named, set);
    *tables = t;
    return RESULT_OK;
}

void
tables_accept(struct tables *t)
{
    table_files_accept(t->before);
    t->before = SLICE_LIT("");
}

void
tables_refuse(struct tables *t)
{
    table_files_refuse(t->before);
    tables_drop(t);
}

static struct tables *
hold(struct tables *t)
{
    t->references++;
    return t;
}

void
tables_drop(struct tables *t)
{
    struct opened *o;

    if (t == NULL || --t->references > 0)
        return;
    while ((o = t->opened) != NULL) {
        t->opened = o->next;
        table_close(o->table);
        mem_free(o);
    }
    named_tables_fini(&t->named);
    config_drop(t->set);
    mem_free(t);
}

static enum result
find_table(struct tables *t, enum role role, struct slice spec,
    struct table **table, struct why *why)
{
    struct opened *o;
    enum result res;

    if (!named_tables_may(&t->named, role, spec))
        return why_perm(why, "5.3.5",
            "not named in the configuration of %s, or named with proxy: and "
            "not in proxy_read_maps",
            role_name(role));
    for (o = t->opened; o != NULL; o = o->next)
        if (slice_eq_text(spec, table_name(o->table))) {
            *table = o->table;
            return RESULT_OK;
        }
    res = table_open(spec, config_main(t->set), table, why);
    if (res != RESULT_OK)
        return res;
    o = mem_alloc(sizeof(*o));
    o->table = *table;
    o->next = t->opened;
    t->opened = o;
    return RESULT_OK;
}

static enum table_status
ask(struct tables *t, const struct request *r, struct buf *value,
    struct why *why)
{
    struct asked q;
    struct table *table;
    enum table_status status;

    if (!asked_decode(r->in->body, &q)) {
        (void)why_perm(why, "5.3.0", "malformed question");
        return TABLE_ERROR;
    }
    if (find_table(t, link_peer(r->link), q.spec, &table, why) != RESULT_OK) {
        if (refusal_due(r->link))
            log_warning("%s asks table " SLICE_FMT ": %s",
                link_peer_name(r->link), SLICE_ARG(q.spec), why->text);
        return TABLE_ERROR;
    }
    /* Who asks has folded the key where its table wants that. */
    status = table_find_unfolded(table, q.key, value, why);
    if (status == TABLE_ERROR)
        log_warning("table %s lookup error: %s", table_name(table), why->text);
    return status;
}

void
tables_serve(struct tables *t, struct request *r)
{
    struct tables *held = hold(t);
    struct why why = { 0 };
    struct buf value;
    struct msg m;
    enum table_status status;

    buf_init(&value, VALUE_MAX);
    status = ask(held, r, &value, &why);
    if (buf_failed(&value)) {
        (void)why_temp(&why, "4.3.0", "value is too long");
        status = TABLE_ERROR;
    }
    tables_drop(held);
    asked_answer(status, buf_slice(&value), &why, &m);
    buf_fini(&value);
    request_reply(r, &m);
}
