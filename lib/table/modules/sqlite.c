/*
 * sqlite - files of SQLite, as sqlite_table(5) has them.
 */
#include "lib/table/modules/module.h"

#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { STEPS = 10000 }; /* of the virtual machine between looks at the clock */

static void *
open_file(const struct driver_settings *s, const char *host,
    unsigned timeout_ms, struct driver_problem *p)
{
    sqlite3 *db = NULL;

    (void)s;
    (void)timeout_ms;
    if (sqlite3_open_v2(host, &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
            NULL) == SQLITE_OK) {
        (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, DRIVER_ANSWER_MAX);
        return db;
    }
    (void)snprintf(p->text, sizeof(p->text), "open %.100s: %.150s", host,
        db == NULL ? "out of memory" : sqlite3_errmsg(db));
    (void)sqlite3_close(db);
    return NULL;
}

static bool
quote(void *connection, enum driver_quote kind, const char *in, size_t size,
    char *out)
{
    (void)connection;
    (void)kind;
    for (size_t i = 0; i < size; i++) {
        *out++ = in[i];
        if (in[i] == '\'')
            *out++ = '\'';
    }
    *out = '\0';
    return true;
}

static int
is_late(void *arg)
{
    const long *deadline = arg;

    return now_ms() >= *deadline;
}

static enum driver_result
each_row(sqlite3 *db, sqlite3_stmt *statement, const struct driver_query *q,
    struct driver_problem *p)
{
    int status;

    while ((status = sqlite3_step(statement)) == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(statement, 0);

        if (text != NULL &&
            !q->value(q->context, (const char *)text,
                (size_t)sqlite3_column_bytes(statement, 0)))
            return DRIVER_OK;
    }
    if (status == SQLITE_DONE)
        return DRIVER_OK;
    (void)snprintf(p->text, sizeof(p->text), "query failed: %.250s",
        status == SQLITE_INTERRUPT ? "timed out" : sqlite3_errmsg(db));
    return DRIVER_ERROR;
}

static enum driver_result
ask(void *connection, const struct driver_query *q, struct driver_problem *p)
{
    sqlite3 *db = connection;
    sqlite3_stmt *statement = NULL;
    long deadline = now_ms() + (long)q->timeout_ms;
    enum driver_result result;

    (void)sqlite3_busy_timeout(db, (int)q->timeout_ms);
    sqlite3_progress_handler(db, STEPS, is_late, &deadline);
    if (sqlite3_prepare_v2(db, q->text, -1, &statement, NULL) == SQLITE_OK &&
        statement != NULL) {
        result = each_row(db, statement, q, p);
    } else {
        (void)snprintf(p->text, sizeof(p->text), "query failed: %.250s",
            sqlite3_errmsg(db));
        result = DRIVER_ERROR;
    }
    (void)sqlite3_finalize(statement);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    return result;
}

static void
close_file(void *connection)
{
    (void)sqlite3_close(connection);
}

const struct table_driver postern_table_driver = {
    .version = TABLE_DRIVER_VERSION,
    .hosts = "dbpath",
    .query = "query",
    .connect = open_file,
    .quote = quote,
    .query_for = ask,
    .disconnect = close_file,
};
