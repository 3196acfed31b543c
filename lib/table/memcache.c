/*
 * memcache - a memcached server, as memcache_table(5) has it: with a table
 * behind it, whose answers are put into the cache.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/table/server.h"
#include "lib/table/settings.h"
#include "lib/table/template.h"

enum { KEY_MAX = 250 }; /* memcached's */

struct memcache {
    struct server server;
    struct table *backup; /* NULL: none */
    struct results results;
    char *key_format;
    int64_t ttl, flags, value_max, line_max, wait_ms, tries, pause_ms;
};

static void
memcache_close(struct table *t)
{
    struct memcache *s = t->state;

    server_fini(&s->server);
    table_close(s->backup);
    results_close(&s->results);
    mem_free(s->key_format);
    mem_free(s);
}

static enum result
take_settings(struct memcache *s, const struct table *t,
    const struct settings *set, const struct config *config, struct why *why)
{
    const char *backup = settings_text(set, "backup", NULL);
    const char *where = settings_text(set, "memcache", "inet:localhost:11211");
    const char *format = settings_text(set, "key_format", "%s");
    struct endpoint endpoint;
    char bad = '\0';
    enum result res;

    if (!endpoint_parse(slice_of(where), NULL, &endpoint)) {
        endpoint_fini(&endpoint);
        return why_perm(why, "5.3.5", "%s: bad server: %s", t->spec, where);
    }
    server_init(&s->server, &endpoint);
    if (!template_check(format, &bad))
        return why_perm(why, "5.3.5", "%s: invalid key_format: %s", t->spec,
            format);
    s->key_format = mem_text(format);
    s->ttl = 3600;
    s->value_max = 10240;
    s->line_max = 1024;
    s->tries = 2;
    s->wait_ms = 2000;
    s->pause_ms = 1000;
    res = results_open(&s->results, t, set, config, why);
    if (res == RESULT_OK)
        res = settings_number(set, "ttl", 0, INT32_MAX, &s->ttl, why);
    if (res == RESULT_OK)
        res = settings_number(set, "flags", 0, UINT16_MAX, &s->flags, why);
    if (res == RESULT_OK)
        res = settings_number(set, "data_size_limit", 1, 1 << 20, &s->value_max,
            why);
    if (res == RESULT_OK)
        res = settings_number(set, "line_size_limit", 64, 1 << 20, &s->line_max,
            why);
    if (res == RESULT_OK)
        res = settings_number(set, "max_try", 1, 100, &s->tries, why);
    if (res == RESULT_OK)
        res = settings_time(set, "timeout", &s->wait_ms, why);
    if (res == RESULT_OK)
        res = settings_time(set, "retry_pause", &s->pause_ms, why);
    if (res == RESULT_OK && backup != NULL)
        res = table_open(slice_of(backup), config, &s->backup, why);
    return res;
}

static enum result
memcache_open(struct table *t, const struct config *config, struct why *why)
{
    struct memcache *s = mem_alloc(sizeof(*s));
    struct settings *set = NULL;
    enum result res;

    list_init(&s->server.idle);
    t->state = s;
    res = settings_open(t, config, &set, why);
    if (res == RESULT_OK)
        res = take_settings(s, t, set, config, why);
    settings_close(set);
    if (res != RESULT_OK)
        memcache_close(t);
    return res;
}

struct question {
    const struct memcache *s;
    struct slice key;
    struct buf *value;
    bool update; /* value is to be stored */
    enum table_status status;
};

static enum result
malformed(struct why *why)
{
    return why_temp(why, "4.3.0", "malformed reply");
}

/* "VALUE key flags octets", the octets, "END"; or "END" alone. */
static enum result
read_value(struct stream *st, struct question *q, int64_t deadline_ms,
    struct why *why)
{
    const size_t line_max = (size_t)q->s->line_max;
    struct slice line, word, last = { 0 };
    enum stream_status status;
    uint32_t size;

    status = stream_read_line(st, line_max, deadline_ms, &line);
    if (status != STREAM_OK)
        return server_lost(status, why);
    q->status = TABLE_NOT_FOUND;
    if (slice_eq(line, SLICE_LIT("END")))
        return RESULT_OK;
    if (!slice_starts(line, SLICE_LIT("VALUE ")))
        return malformed(why);
    while (slice_word(&line, " ", &word))
        last = word;
    if (!num_parse_u32(last, (uint32_t)q->s->value_max, &size))
        return malformed(why);
    while (size > 0) {
        struct slice octets;

        status = stream_peek(st, deadline_ms, &octets);
        if (status != STREAM_OK)
            return server_lost(status, why);
        octets = slice_head(octets, size);
        buf_add(q->value, octets);
        stream_consume(st, octets.len);
        size -= (uint32_t)octets.len;
    }
    for (unsigned i = 0; i < 2; i++) {
        status = stream_read_line(st, line_max, deadline_ms, &line);
        if (status != STREAM_OK)
            return server_lost(status, why);
    }
    if (!slice_eq(line, SLICE_LIT("END")))
        return malformed(why);
    q->status = TABLE_FOUND;
    return RESULT_OK;
}

static enum result
talk(struct stream *st, bool fresh, void *context, int64_t deadline_ms,
    struct why *why)
{
    struct question *q = context;
    enum stream_status status;
    struct slice line;

    (void)fresh;
    if (q->update) {
        stream_printf(st, deadline_ms, "set " SLICE_FMT " %lld %lld %zu\r\n",
            SLICE_ARG(q->key), (long long)q->s->flags, (long long)q->s->ttl,
            q->value->len);
        stream_write(st, buf_slice(q->value), deadline_ms);
        stream_write(st, SLICE_LIT("\r\n"), deadline_ms);
    } else {
        buf_clear(q->value);
        stream_printf(st, deadline_ms, "get " SLICE_FMT "\r\n",
            SLICE_ARG(q->key));
    }
    status = stream_flush(st, deadline_ms);
    if (status != STREAM_OK)
        return server_lost(status, why);
    if (!q->update)
        return read_value(st, q, deadline_ms, why);
    status = stream_read_line(st, (size_t)q->s->line_max, deadline_ms, &line);
    return status == STREAM_OK ? RESULT_OK : server_lost(status, why);
}

static enum result
ask(struct memcache *s, struct question *q, struct why *why)
{
    enum result res = RESULT_TEMPFAIL;

    for (int64_t i = 0; i < s->tries; i++) {
        if (i > 0)
            (void)fiber_sleep_until(clock_now_ms() + s->pause_ms);
        res = server_ask(&s->server, clock_now_ms() + s->wait_ms, talk, q, why);
        /* Where nobody listens it is not tried again. */
        if (res == RESULT_OK || strncmp(why->text, "connect to", 10) == 0)
            break;
    }
    return res;
}

/* memcached takes no blanks and no control characters. */
static bool
is_key(struct slice key)
{
    for (size_t i = 0; i < key.len; i++)
        if ((unsigned char)key.ptr[i] <= ' ' || key.ptr[i] == 127)
            return false;
    return key.len > 0 && key.len <= KEY_MAX;
}

/* What is in the cache, else in the table behind it. */
static enum table_status
find(struct memcache *s, struct slice cache_key, struct slice key,
    struct buf *value, struct why *why)
{
    struct question q = { .s = s, .key = cache_key, .value = value };
    bool usable = is_key(cache_key);
    struct why told = { 0 };
    enum table_status status;
    enum result res = RESULT_OK;

    q.status = TABLE_NOT_FOUND;
    if (usable)
        res = ask(s, &q, &told);
    if (res == RESULT_OK && q.status == TABLE_FOUND)
        return TABLE_FOUND;
    buf_clear(value);
    if (s->backup == NULL && res != RESULT_OK) {
        (void)why_temp(why, "4.3.0", "%s: %s", s->results.spec, told.text);
        return TABLE_ERROR;
    }
    if (s->backup == NULL)
        return TABLE_NOT_FOUND;
    status = table_find(s->backup, key, value, why);
    q.update = true;
    if (status == TABLE_FOUND && usable && res == RESULT_OK &&
        value->len <= (size_t)s->value_max)
        (void)ask(s, &q, &told);
    return status;
}

static enum table_status
memcache_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    struct memcache *s = t->state;
    enum table_status status = results_want(&s->results, key, why);
    struct buf cache_key;

    if (status != TABLE_FOUND)
        return status;
    buf_init(&cache_key, TABLE_KEY_MAX * 2);
    if (template_expand(s->key_format, key, key, NULL, NULL, &cache_key) ==
        TEMPLATE_DONE)
        status = find(s, buf_slice(&cache_key), key, value, why);
    else
        status = TABLE_NOT_FOUND;
    buf_fini(&cache_key);
    return status;
}

const struct table_type table_type_memcache = {
    .name = "memcache",
    .flags = TABLE_REMOTE | TABLE_HAS_FILE | TABLE_UNAUTHENTIC,
    .open = memcache_open,
    .find = memcache_find,
    .close = memcache_close,
};
