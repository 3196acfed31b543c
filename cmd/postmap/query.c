#include "cmd/postmap/query.h"

#include "lib/base/base64.h"
#include "lib/base/json.h"
#include "lib/base/log.h"
#include "lib/table/rebuild.h"
#include "lib/table/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { VALUE_MAX = 64 * 1024 * 1024, LINE_MOST = 7 * VALUE_MAX };

static void
add_entry(const struct query *q, const struct slice *key, struct slice value,
    struct buf *line)
{
    if (q->json) {
        buf_add_octet(line, '{');
        json_text(line, *key);
        buf_add_text(line, ": ");
        json_text(line, value);
        buf_add_octet(line, '}');
        return;
    }
    if (key != NULL) {
        buf_add(line, *key);
        buf_add_format(line, "%s\t", q->colon);
    }
    buf_add(line, value);
}

/* key NULL: not printed; in JSON it always is. */
static enum result
print_entry(const struct query *q, const char *table, const struct slice *key,
    struct slice value, struct why *why)
{
    struct buf decoded, line;
    enum result res = RESULT_OK;

    buf_init(&decoded, VALUE_MAX);
    buf_init(&line, LINE_MOST);
    if (!q->decode)
        buf_add(&decoded, value);
    else if (!base64_decode(value, &decoded))
        res = why_perm(why, "5.3.0", "table %s: malformed BASE64 value", table);
    if (res == RESULT_OK)
        add_entry(q, key, buf_slice(&decoded), &line);
    buf_add_octet(&line, '\n');
    if (res == RESULT_OK)
        (void)fwrite(buf_slice(&line).ptr, 1, line.len, stdout);
    buf_fini(&line);
    buf_fini(&decoded);
    return res;
}

static enum result
ask(const struct query *q, const char *spec, struct slice key,
    enum table_status *status, struct buf *value, struct why *why)
{
    struct table *table;
    enum result res;

    res = table_open(slice_of(spec), q->config, &table, why);
    if (res != RESULT_OK)
        return res;
    if (q->fold)
        *status = table_find(table, key, value, why);
    else
        *status = table_find_unfolded(table, key, value, why);
    table_close(table);
    return *status == TABLE_ERROR ? RESULT_TEMPFAIL : RESULT_OK;
}

/* with_key: as "-q -" prints it. */
static enum result
query_one(const struct query *q, struct slice key, bool with_key, bool *found,
    struct why *why)
{
    struct buf value;
    enum result res = RESULT_OK;
    enum table_status status = TABLE_NOT_FOUND;

    buf_init(&value, VALUE_MAX);
    for (size_t i = 0; q->specs[i] != NULL && status == TABLE_NOT_FOUND; i++) {
        res = ask(q, q->specs[i], key, &status, &value, why);
        if (res != RESULT_OK)
            break;
        if (status != TABLE_FOUND)
            continue;
        *found = true;
        if (value.len == 0)
            log_warning("table %s: key " SLICE_FMT
                        ": empty string result is not allowed",
                q->specs[i], SLICE_ARG(key));
        res = print_entry(q, q->specs[i], with_key || q->json ? &key : NULL,
            buf_slice(&value), why);
    }
    buf_fini(&value);
    return res;
}

enum result
query_key(const struct query *q, struct slice key, bool *found, struct why *why)
{
    return query_one(q, key, false, found, why);
}

/* Postfix's limit: a file's owner that is not root would write for root. */
static enum result
delete_from(const struct query *q, const char *spec, struct slice key,
    bool *found, struct why *why)
{
    struct table_writer *w;
    struct slice type, file;
    char *path;
    bool hit;
    enum result res;

    table_spec_split(slice_of(spec), q->config, &type, &file);
    path = strndup(file.ptr, file.len);
    if (path == NULL)
        return why_errno(why, "%s", spec);
    res = table_writer_open(type, path, 0644,
        TABLE_WRITER_UPDATE | (q->fold ? TABLE_WRITER_FOLD : 0), &w, why);
    free(path);
    if (res != RESULT_OK)
        return res;
    res = table_writer_remove(w, key, &hit, why);
    if (res != RESULT_OK || !hit) {
        table_writer_abort(w);
        return res;
    }
    *found = true;
    return table_writer_commit(w, why);
}

enum result
delete_key(const struct query *q, struct slice key, bool *found,
    struct why *why)
{
    enum result res = RESULT_OK;

    for (size_t i = 0; q->specs[i] != NULL && res == RESULT_OK; i++)
        res = delete_from(q, q->specs[i], key, found, why);
    return res;
}

enum mode { QUERY, DELETE };

static enum result
each_key(const struct query *q, enum mode mode, bool *found, struct why *why)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    enum result res = RESULT_OK;

    while (res == RESULT_OK && (len = getline(&line, &room, stdin)) >= 0) {
        struct slice key = { line, (size_t)len };

        /* Blanks are part of the key, as with Postfix. */
        if (len > 0 && line[len - 1] == '\n')
            key.len--;
        if (mode == QUERY)
            res = query_one(q, key, true, found, why);
        else
            res = delete_key(q, key, found, why);
    }
    free(line);
    return res;
}

struct message_query {
    const struct query *query;
    bool *found;
    enum result result;
    struct why *why;
};

static bool
query_message_key(void *context, struct slice key)
{
    struct message_query *m = context;

    m->result = query_one(m->query, key, true, m->found, m->why);
    return m->result == RESULT_OK;
}

enum result
query_keys(const struct query *q, bool *found, struct why *why)
{
    struct message_query m = { .query = q, .found = found, .why = why };
    enum result res;

    if (q->message == 0)
        return each_key(q, QUERY, found, why);
    res = message_each_key(stdin, q->message, query_message_key, &m, why);
    return m.result != RESULT_OK ? m.result : res;
}

enum result
delete_keys(const struct query *q, bool *found, struct why *why)
{
    return each_key(q, DELETE, found, why);
}

struct listing {
    const struct query *query;
    const char *spec;
    enum result result;
    struct why *why;
};

static bool
list_entry(void *context, struct slice key, struct slice value)
{
    struct listing *l = context;

    l->result = print_entry(l->query, l->spec, &key, value, l->why);
    return l->result == RESULT_OK;
}

enum result
list_tables(const struct query *q, struct why *why)
{
    for (size_t i = 0; q->specs[i] != NULL; i++) {
        struct listing l = { .query = q, .spec = q->specs[i], .why = why };
        struct table *table;
        enum table_status status;
        enum result res;

        res = table_open(slice_of(q->specs[i]), q->config, &table, why);
        if (res != RESULT_OK)
            return res;
        status = table_walk(table, list_entry, &l, why);
        table_close(table);
        if (status == TABLE_ERROR)
            return RESULT_TEMPFAIL;
        if (l.result != RESULT_OK)
            return l.result;
    }
    return RESULT_OK;
}
