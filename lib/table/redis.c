/*
 * redis - a Redis server (or Valkey, KeyDB ...): "query = GET aliases:%s".
 *
 * The command is cut into words before the key is put in, so that no key can
 * become another command or another argument.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/table/hosts.h"
#include "lib/table/resp.h"
#include "lib/table/server.h"
#include "lib/table/settings.h"
#include "lib/table/template.h"

enum {
    WORDS_MAX = 16,
    QUERY_MAX = 64 * 1024,
    REPLY_MAX = 4 * 1024 * 1024, /* octets of all values together */
};

struct redis {
    const char *spec;   /* of the table, for messages */
    struct hosts hosts; /* state: struct server */
    struct results results;
    char *words[WORDS_MAX]; /* of the query */
    size_t word_count;
    struct buf greeting; /* AUTH and SELECT */
    unsigned greetings;  /* commands in it */
    int64_t wait_ms;
};

static void
redis_close(struct table *t)
{
    struct redis *s = t->state;

    for (size_t i = 0; i < s->hosts.count; i++)
        if (s->hosts.host[i].state != NULL) {
            server_fini(s->hosts.host[i].state);
            mem_free(s->hosts.host[i].state);
        }
    hosts_fini(&s->hosts);
    results_close(&s->results);
    for (size_t i = 0; i < s->word_count; i++)
        mem_free(s->words[i]);
    buf_fini(&s->greeting);
    mem_free(s);
}

static void
add_word(struct buf *to, struct slice word)
{
    buf_add_format(to, "$%zu\r\n", word.len);
    buf_add(to, word);
    buf_add_text(to, "\r\n");
}

static void
add_command(struct redis *s, const char *const *words, unsigned count)
{
    buf_add_format(&s->greeting, "*%u\r\n", count);
    for (unsigned i = 0; i < count; i++)
        add_word(&s->greeting, slice_of(words[i]));
    s->greetings++;
}

static void
take_greeting(struct redis *s, const struct settings *set)
{
    const char *user = settings_text(set, "user", NULL);
    const char *password = settings_text(set, "password", NULL);
    const char *db = settings_text(set, "dbnum", NULL);
    const char *both[] = { "AUTH", user, password };
    const char *old[] = { "AUTH", password };
    const char *select[] = { "SELECT", db };

    buf_init_secret(&s->greeting, QUERY_MAX);
    if (password != NULL && user != NULL)
        add_command(s, both, 3);
    else if (password != NULL)
        add_command(s, old, 2);
    if (db != NULL)
        add_command(s, select, 2);
}

static enum result
take_query(struct redis *s, const struct table *t, const char *query,
    struct why *why)
{
    struct slice rest = slice_of(query), word;
    char bad = '\0';

    if (!template_check(query, &bad))
        return why_perm(why, "5.3.5", "%s: invalid query: %s", t->spec, query);
    while (slice_word(&rest, " \t", &word)) {
        if (s->word_count == WORDS_MAX)
            return why_perm(why, "5.3.5", "%s: query is too long", t->spec);
        s->words[s->word_count++] = mem_text_of(word);
    }
    return RESULT_OK;
}

static enum result
take_hosts(struct redis *s, const struct table *t, const char *text,
    struct why *why)
{
    hosts_init(&s->hosts, text);
    for (size_t i = 0; i < s->hosts.count; i++) {
        struct host *host = &s->hosts.host[i];
        struct endpoint endpoint;

        if (!endpoint_parse(slice_of(host->name), "6379", &endpoint)) {
            endpoint_fini(&endpoint);
            return why_perm(why, "5.3.5", "%s: bad host: %s", t->spec,
                host->name);
        }
        host->state = mem_alloc(sizeof(struct server));
        server_init(host->state, &endpoint);
    }
    return RESULT_OK;
}

static enum result
redis_open(struct table *t, const struct config *config, struct why *why)
{
    struct redis *s = mem_alloc(sizeof(*s));
    struct settings *set = NULL;
    enum result res;

    s->spec = t->spec;
    s->wait_ms = 10 * 1000;
    t->state = s;
    res = settings_open(t, config, &set, why);
    if (res == RESULT_OK)
        res = results_open(&s->results, t, set, config, why);
    if (res == RESULT_OK)
        res = settings_time(set, "timeout", &s->wait_ms, why);
    if (res == RESULT_OK)
        res = take_query(s, t, settings_text(set, "query", "GET %s"), why);
    if (res == RESULT_OK)
        res = take_hosts(s, t,
            settings_text(set, "hosts", "inet:localhost:6379"), why);
    if (res == RESULT_OK)
        take_greeting(s, set);
    settings_close(set);
    if (res != RESULT_OK)
        redis_close(t);
    return res;
}

struct question {
    struct redis *s;
    struct slice key;
    struct buf query, reply;
    struct buf *value;
    unsigned count;
    enum table_status status;
};

/* The next value; it borrows from q->reply. */
static enum result
read_value(struct stream *st, struct question *q, size_t *at,
    int64_t deadline_ms, enum resp_kind *kind, struct resp_value *value,
    struct why *why)
{
    for (;;) {
        struct slice in;
        enum stream_status status;

        *kind = resp_parse(slice_skip(buf_slice(&q->reply), *at), value);
        if (*kind == RESP_MALFORMED)
            return why_temp(why, "4.3.0", "malformed or too long reply");
        if (*kind != RESP_MORE) {
            *at += value->used;
            return RESULT_OK;
        }
        status = stream_peek(st, deadline_ms, &in);
        if (status != STREAM_OK)
            return server_lost(status, why);
        buf_add(&q->reply, in);
        stream_consume(st, in.len);
        if (buf_failed(&q->reply))
            return why_temp(why, "4.3.0", "reply is too long");
    }
}

static enum result
refused(struct slice text, struct why *why)
{
    return why_temp(why, "4.3.0", "server says: %.*s",
        text.len > 300 ? 300 : (int)text.len, text.ptr);
}

/* What another server, or this one later, may answer better. */
static bool
is_passing(struct slice text)
{
    static const char *const words[] = { "BUSY", "CLUSTERDOWN", "LOADING",
        "MASTERDOWN", "NOAUTH", "TRYAGAIN" };
    struct slice word = slice_head(text, slice_find(text, ' '));

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (slice_eq_text(word, words[i]))
            return true;
    return false;
}

static enum result
take_answer(struct stream *st, struct question *q, size_t at,
    int64_t deadline_ms, struct why *why)
{
    struct resp_value value;
    enum resp_kind kind;
    bool in_array = false, over = false;

    for (size_t left = 1; left > 0; left--) {
        enum result res = read_value(st, q, &at, deadline_ms, &kind, &value,
            why);

        if (res != RESULT_OK)
            return res;
        if (kind == RESP_ERROR) {
            q->status = TABLE_ERROR;
            res = refused(value.text, why);
            /* Else it is an answer, and the connection goes on. */
            return in_array || is_passing(value.text) ? res : RESULT_OK;
        }
        if (kind == RESP_ARRAY && in_array)
            return why_temp(why, "4.3.0", "an array in an array");
        if (kind == RESP_ARRAY) {
            in_array = true;
            left += value.count;
        } else if (kind == RESP_TEXT && !over) {
            over = !results_add(&q->s->results, q->key, value.text, &q->count,
                q->value);
        }
    }
    q->status = over   ? TABLE_ERROR
        : q->count > 0 ? TABLE_FOUND
                       : TABLE_NOT_FOUND;
    if (over)
        (void)why_temp(why, "4.3.0", "expansion_limit exceeded");
    return RESULT_OK;
}

static enum result
talk(struct stream *st, bool fresh, void *context, int64_t deadline_ms,
    struct why *why)
{
    struct question *q = context;
    struct resp_value value;
    enum resp_kind kind;
    size_t at = 0;

    buf_clear(&q->reply);
    buf_clear(q->value);
    q->count = 0;
    if (fresh)
        stream_write(st, buf_slice(&q->s->greeting), deadline_ms);
    if (server_say(st, buf_slice(&q->query), deadline_ms, why) != RESULT_OK)
        return RESULT_TEMPFAIL;
    for (unsigned i = 0; fresh && i < q->s->greetings; i++) {
        enum result res = read_value(st, q, &at, deadline_ms, &kind, &value,
            why);

        if (res != RESULT_OK)
            return res;
        if (kind == RESP_ERROR)
            return refused(value.text, why);
    }
    return take_answer(st, q, at, deadline_ms, why);
}

static enum table_status
ask_hosts(struct redis *s, struct question *q, struct why *why)
{
    const int64_t deadline = clock_now_ms() + s->wait_ms;
    uint64_t tried = 0;
    struct host *host;

    (void)why_temp(why, "4.3.0", "no host");
    while ((host = hosts_next(&s->hosts, &tried)) != NULL) {
        if (server_ask(host->state, hosts_deadline(&s->hosts, tried, deadline),
                talk, q, why) == RESULT_OK) {
            host_works(host, s->spec);
            return q->status;
        }
        host_failed(host, s->spec, why->text);
    }
    return TABLE_ERROR;
}

/* False: the key lacks a part that is wanted. */
static bool
make_query(const struct redis *s, struct slice key, struct buf *query)
{
    struct buf word;
    bool ok = true;

    buf_init(&word, QUERY_MAX);
    buf_add_format(query, "*%zu\r\n", s->word_count);
    for (size_t i = 0; i < s->word_count && ok; i++) {
        buf_clear(&word);
        ok = template_expand(s->words[i], key, key, NULL, NULL, &word) ==
            TEMPLATE_DONE;
        add_word(query, buf_slice(&word));
    }
    buf_fini(&word);
    return ok && !buf_failed(query);
}

static enum table_status
redis_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    struct redis *s = t->state;
    struct question q = { .s = s, .key = key, .value = value };
    enum table_status status = results_want(&s->results, key, why);
    struct why told;

    if (status != TABLE_FOUND)
        return status;
    buf_init(&q.query, QUERY_MAX * 2);
    buf_init(&q.reply, REPLY_MAX);
    status = TABLE_NOT_FOUND;
    if (make_query(s, key, &q.query))
        status = ask_hosts(s, &q, &told);
    buf_fini(&q.query);
    buf_fini(&q.reply);
    if (status == TABLE_ERROR)
        (void)why_temp(why, "4.3.0", "%s: %s", t->spec, told.text);
    return status;
}

const struct table_type table_type_redis = {
    .name = "redis",
    .flags = TABLE_REMOTE | TABLE_HAS_FILE,
    .open = redis_open,
    .find = redis_find,
    .close = redis_close,
};
