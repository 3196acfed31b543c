/*
 * tcp - tcp:host:port, the protocol of tcp_table(5): "get KEY", answered by
 * "200 VALUE", "500 not there" or "400 later", all in octets %XX.
 */
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/table/server.h"
#include "lib/table/tcp_reply.h"

enum { QUERY_MAX = 3 * 256 * 1024 };

struct tcp {
    struct server server;
    int64_t wait_ms;
};

static enum result
tcp_open(struct table *t, const struct config *config, struct why *why)
{
    struct endpoint endpoint;
    struct tcp *s;

    if (!endpoint_parse(slice_of(t->name), NULL, &endpoint) ||
        endpoint.path != NULL) {
        endpoint_fini(&endpoint);
        return why_perm(why, "5.3.5", "%s: need tcp:host:port", t->spec);
    }
    t->state = s = mem_alloc(sizeof(*s));
    server_init(&s->server, &endpoint);
    s->wait_ms = config->table_lookup_timeout;
    return RESULT_OK;
}

static void
tcp_close(struct table *t)
{
    struct tcp *s = t->state;

    server_fini(&s->server);
    mem_free(s);
}

static enum result
talk(struct stream *st, bool fresh, void *context, int64_t deadline_ms,
    struct why *why)
{
    struct server_question *q = context;
    enum stream_status status;
    struct slice line;

    (void)fresh;
    if (server_say(st, buf_slice(&q->query), deadline_ms, why) != RESULT_OK)
        return RESULT_TEMPFAIL;
    status = stream_read_line(st, TCP_REPLY_MAX, deadline_ms, &line);
    if (status != STREAM_OK)
        return server_lost(status, why);
    buf_clear(q->value);
    q->status = tcp_reply_parse(line, q->value, why);
    /* An error that the server tells leaves the connection as it should be. */
    return RESULT_OK;
}

static enum table_status
tcp_find(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    struct tcp *s = t->state;
    struct server_question q = { .value = value };

    buf_init(&q.query, QUERY_MAX);
    buf_add_text(&q.query, "get ");
    tcp_encode(key, &q.query);
    buf_add_octet(&q.query, '\n');
    return server_find(&s->server, t, s->wait_ms, talk, &q, why);
}

const struct table_type table_type_tcp = {
    .name = "tcp",
    .flags = TABLE_REMOTE | TABLE_WHOLE_KEYS | TABLE_KEEP_CASE |
        TABLE_UNAUTHENTIC,
    .open = tcp_open,
    .find = tcp_find,
    .close = tcp_close,
};
