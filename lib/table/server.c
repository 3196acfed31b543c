#include "lib/table/server.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

struct connection {
    struct list node;
    struct stream *stream;
    int64_t used_ms;
    bool fresh;
};

void
server_init(struct server *s, const struct endpoint *endpoint)
{
    *s = (struct server){ .endpoint = *endpoint };
    list_init(&s->idle);
    fiber_cond_init(&s->given_back);
}

static void
drop(struct server *s, struct connection *c)
{
    stream_free(c->stream);
    mem_free(c);
    s->open--;
    fiber_cond_signal(&s->given_back);
}

void
server_fini(struct server *s)
{
    struct list *item;

    while ((item = list_take(&s->idle)) != NULL)
        drop(s, LIST_ENTRY(item, struct connection, node));
    endpoint_fini(&s->endpoint);
}

static void
drop_old(struct server *s)
{
    int64_t now = clock_now_ms();

    list_foreach_safe (it, &s->idle) {
        struct connection *c = LIST_ENTRY(it, struct connection, node);

        if (c->used_ms + SERVER_IDLE_MS > now)
            break;
        list_remove(&c->node);
        drop(s, c);
    }
}

static struct connection *
take_idle(struct server *s)
{
    struct list *last = s->idle.prev;

    if (last == &s->idle)
        return NULL;
    list_remove(last);
    return LIST_ENTRY(last, struct connection, node);
}

static enum result
make_connection(struct server *s, int64_t deadline_ms, struct connection **made,
    struct why *why)
{
    struct connection *c;
    enum result res;
    int fd;

    s->open++;
    res = endpoint_connect(&s->endpoint, deadline_ms, &fd, why);
    if (res != RESULT_OK) {
        s->open--;
        fiber_cond_signal(&s->given_back);
        return res;
    }
    c = mem_alloc(sizeof(*c));
    c->stream = stream_new(fd);
    c->fresh = true;
    *made = c;
    return RESULT_OK;
}

enum which { ANY, NEW };

static enum result
take(struct server *s, enum which which, int64_t deadline_ms,
    struct connection **c, struct why *why)
{
    for (;;) {
        if (which == ANY && (*c = take_idle(s)) != NULL)
            return RESULT_OK;
        if (s->open < SERVER_CONNECTIONS_MAX)
            return make_connection(s, deadline_ms, c, why);
        if (!list_empty(&s->idle)) {
            drop(s, take_idle(s));
            continue;
        }
        if (!fiber_inside() ||
            fiber_cond_wait(&s->given_back, deadline_ms) != WAIT_OK)
            return why_temp(why, "4.4.5", "all connections are in use");
    }
}

static void
give_back(struct server *s, struct connection *c)
{
    c->fresh = false;
    c->used_ms = clock_now_ms();
    list_append(&s->idle, &c->node);
    fiber_cond_signal(&s->given_back);
}

static enum result
ask(struct server *s, int64_t deadline_ms, server_talk_fn talk, void *context,
    struct why *why)
{
    enum which which = ANY;

    drop_old(s);
    for (;;) {
        struct connection *c;
        enum result res = take(s, which, deadline_ms, &c, why);
        bool fresh;

        if (res != RESULT_OK)
            return res;
        fresh = c->fresh;
        res = talk(c->stream, fresh, context, deadline_ms, why);
        if (res == RESULT_OK) {
            give_back(s, c);
            return RESULT_OK;
        }
        drop(s, c);
        if (fresh || clock_now_ms() >= deadline_ms)
            return res;
        which = NEW;
    }
}

static bool
is_left_alone(const struct server *s)
{
    return s->silent >= SERVER_SILENT_MAX &&
        (s->trying || clock_now_ms() < s->rest_until_ms);
}

enum result
server_ask(struct server *s, int64_t deadline_ms, server_talk_fn talk,
    void *context, struct why *why)
{
    bool finds_out = s->silent >= SERVER_SILENT_MAX;
    enum result res;

    if (is_left_alone(s))
        return why_temp(why, "4.4.2",
            "not asked: it left %u questions in a row without an answer",
            s->silent);
    s->trying |= finds_out;
    res = ask(s, deadline_ms, talk, context, why);
    if (finds_out)
        s->trying = false;
    if (res == RESULT_OK) {
        s->silent = 0;
    } else if (clock_now_ms() >= deadline_ms) {
        s->silent++;
        s->rest_until_ms = clock_now_ms() + SERVER_REST_MS;
    }
    return res;
}

enum table_status
server_find(struct server *s, const struct table *t, int64_t wait_ms,
    server_talk_fn talk, struct server_question *q, struct why *why)
{
    struct why told = { 0 };

    q->status = TABLE_ERROR;
    if (buf_failed(&q->query))
        (void)why_temp(&told, "4.3.0", "key is too long");
    else if (server_ask(s, clock_now_ms() + wait_ms, talk, q, &told) !=
        RESULT_OK)
        q->status = TABLE_ERROR;
    buf_fini(&q->query);
    if (q->status == TABLE_ERROR)
        (void)why_temp(why, "4.3.0", "%s: %s", t->spec, told.text);
    return q->status;
}

enum result
server_say(struct stream *st, struct slice octets, int64_t deadline_ms,
    struct why *why)
{
    enum stream_status status;

    stream_write(st, octets, deadline_ms);
    status = stream_flush(st, deadline_ms);
    return status == STREAM_OK ? RESULT_OK : server_lost(status, why);
}

enum result
server_lost(enum stream_status status, struct why *why)
{
    switch (status) {
    case STREAM_TOO_LONG:
        return why_temp(why, "4.5.0", "reply is too long");
    case STREAM_EOF:
        return why_temp(why, "4.4.2", "connection closed");
    case STREAM_TIMEOUT:
        return why_temp(why, "4.4.2", "timed out");
    case STREAM_CANCELLED:
        return why_temp(why, "4.3.2", "cancelled");
    case STREAM_OK:
    case STREAM_ERROR:
        break;
    }
    return why_errno(why, "read or write");
}
