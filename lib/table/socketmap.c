/*
 * socketmap - socketmap:inet:host:port:name and socketmap:unix:/path:name, the
 * protocol of socketmap_table(5).
 */
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/table/server.h"
#include "lib/table/socketmap_reply.h"

struct socketmap {
    struct server server;
    const char *map; /* in the table's name */
    int64_t wait_ms;
    size_t query_max, reply_max;
};

static enum result
socketmap_open(struct table *t, const struct config *config, struct why *why)
{
    struct slice name = slice_of(t->name);
    size_t colon = slice_rfind(name, ':');
    struct slice where = slice_head(name, colon);
    struct endpoint endpoint = { 0 };
    struct socketmap *s;

    if (colon + 1 >= name.len ||
        !(slice_starts(name, SLICE_LIT("inet:")) ||
            slice_starts(name, SLICE_LIT("unix:"))) ||
        !endpoint_parse(where, NULL, &endpoint)) {
        endpoint_fini(&endpoint);
        return why_perm(why, "5.3.5",
            "%s: need inet:host:port:name or unix:pathname:name", t->spec);
    }
    t->state = s = mem_alloc(sizeof(*s));
    server_init(&s->server, &endpoint);
    s->map = t->name + colon + 1;
    s->wait_ms = config->table_lookup_timeout;
    s->query_max = (size_t)config->socketmap_max_query_size;
    s->reply_max = (size_t)config->socketmap_max_reply_size;
    return RESULT_OK;
}

static void
socketmap_close(struct table *t)
{
    struct socketmap *s = t->state;

    server_fini(&s->server);
    mem_free(s);
}

struct question {
    struct server_question common;
    struct buf reply;
    size_t reply_max;
};

static enum result
malformed(struct why *why)
{
    return why_temp(why, "4.3.0", "malformed or too long netstring");
}

/* The length, then as much, then a comma. */
static enum result
read_reply(struct stream *st, struct question *q, int64_t deadline_ms,
    struct why *why)
{
    size_t size = 0, used = 0;
    bool sized = false;

    for (;;) {
        struct slice in;
        enum stream_status status = stream_peek(st, deadline_ms, &in);

        if (status != STREAM_OK)
            return server_lost(status, why);
        buf_add(&q->reply, in);
        stream_consume(st, in.len);
        if (buf_failed(&q->reply))
            return malformed(why);
        if (!sized) {
            switch (socketmap_length(buf_slice(&q->reply), q->reply_max, &size,
                &used)) {
            case 0:
                continue;
            case 1:
                sized = true;
                break;
            default:
                return malformed(why);
            }
        }
        if (q->reply.len > used + size) {
            if (q->reply.len > used + size + 1 ||
                q->reply.ptr[used + size] != ',')
                return malformed(why);
            buf_truncate(&q->reply, used + size);
            buf_consume(&q->reply, used);
            return RESULT_OK;
        }
    }
}

static enum result
talk(struct stream *st, bool fresh, void *context, int64_t deadline_ms,
    struct why *why)
{
    struct server_question *q = context;
    struct question *question = context;
    enum result res;

    _Static_assert(offsetof(struct question, common) == 0, "two names above");
    (void)fresh;
    buf_clear(&question->reply);
    buf_clear(q->value);
    res = server_say(st, buf_slice(&q->query), deadline_ms, why);
    if (res == RESULT_OK)
        res = read_reply(st, question, deadline_ms, why);
    if (res == RESULT_OK)
        q->status = socketmap_reply_parse(buf_slice(&question->reply), q->value,
            why);
    return res;
}

static enum table_status
socketmap_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    struct socketmap *s = t->state;
    struct question q = { .common.value = value, .reply_max = s->reply_max };
    enum { NETSTRING = 16 };
    enum table_status status;

    buf_init(&q.common.query, s->query_max + NETSTRING);
    buf_init(&q.reply, s->reply_max + STREAM_READ_BUFFER);
    socketmap_add_netstring(slice_of(s->map), key, &q.common.query);
    status = server_find(&s->server, t, s->wait_ms, talk, &q.common, why);
    buf_fini(&q.reply);
    return status;
}

const struct table_type table_type_socketmap = {
    .name = "socketmap",
    .flags = TABLE_REMOTE | TABLE_WHOLE_KEYS | TABLE_KEEP_CASE |
        TABLE_UNAUTHENTIC,
    .open = socketmap_open,
    .find = socketmap_find,
    .close = socketmap_close,
};
