/*
 * pgsql - PostgreSQL, as pgsql_table(5) has it. libpq is used in its
 * non-blocking form, so that each step ends in time.
 */
#include "lib/table/modules/module.h"

#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { PARAMETERS = 7 };

/* libpq ends its messages with newlines. */
static void
say(struct driver_problem *p, const char *what, const char *text)
{
    (void)snprintf(p->text, sizeof(p->text), "%s: %.200s", what, text);
    for (char *c = p->text; *c != '\0'; c++)
        if (*c == '\n')
            *c = c[1] == '\0' ? '\0' : ' ';
}

/* False: it is too late. */
static bool
wait_for(PGconn *db, short events, long deadline)
{
    struct pollfd p = { .fd = PQsocket(db), .events = events };
    long left = deadline - now_ms();

    return p.fd >= 0 && left > 0 && poll(&p, 1, (int)left) != 0;
}

struct parameters {
    const char *names[PARAMETERS + 1], *values[PARAMETERS + 1];
    unsigned count;
    char host[256];
};

static void
put(struct parameters *to, const char *name, const char *value)
{
    if (value == NULL)
        return;
    to->names[to->count] = name;
    to->values[to->count++] = value;
}

/* "unix:/directory", "inet:host:port", "host", a URI. */
static void
take_host(struct parameters *to, const struct driver_settings *s,
    const char *host)
{
    char *colon;

    if (strncmp(host, "postgresql:", 11) == 0 ||
        strncmp(host, "postgres:", 9) == 0) {
        put(to, "dbname", host);
        return;
    }
    if (strncmp(host, "unix:", 5) == 0 || strncmp(host, "inet:", 5) == 0)
        host += 5;
    put(to, "dbname", setting(s, "dbname", NULL));
    (void)snprintf(to->host, sizeof(to->host), "%s", host);
    colon = to->host[0] == '/' ? NULL : strrchr(to->host, ':');
    if (colon != NULL) {
        *colon = '\0';
        put(to, "port", colon + 1);
    }
    put(to, "host", to->host);
}

static void *
connect_to(const struct driver_settings *s, const char *host,
    unsigned timeout_ms, struct driver_problem *p)
{
    const long deadline = now_ms() + (long)timeout_ms;
    struct parameters to = { .count = 0 };
    PostgresPollingStatusType status = PGRES_POLLING_WRITING;
    PGconn *db;

    /* A later one wins over the URI, as what is said more precisely. */
    take_host(&to, s, host);
    put(&to, "user", setting(s, "user", NULL));
    put(&to, "password", setting(s, "password", NULL));
    put(&to, "client_encoding", setting(s, "encoding", "UTF8"));
    db = PQconnectStartParams(to.names, to.values, 1);
    if (db == NULL) {
        say(p, "connect", "out of memory");
        return NULL;
    }
    while (PQstatus(db) != CONNECTION_BAD && status != PGRES_POLLING_OK &&
        status != PGRES_POLLING_FAILED) {
        if (!wait_for(db, status == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                deadline)) {
            say(p, host, "connect: timed out");
            PQfinish(db);
            return NULL;
        }
        status = PQconnectPoll(db);
    }
    if (PQstatus(db) == CONNECTION_OK && PQsetnonblocking(db, 1) == 0)
        return db;
    say(p, "connect", PQerrorMessage(db));
    PQfinish(db);
    return NULL;
}

static bool
quote(void *connection, enum driver_quote kind, const char *in, size_t size,
    char *out)
{
    int error;

    (void)kind;
    (void)PQescapeStringConn(connection, out, in, size, &error);
    return error == 0;
}

static enum driver_result
take_rows(PGresult *r, const struct driver_query *q, struct driver_problem *p)
{
    ExecStatusType status = PQresultStatus(r);

    if (status == PGRES_COMMAND_OK)
        return DRIVER_OK;
    if (status != PGRES_TUPLES_OK && status != PGRES_SINGLE_TUPLE) {
        say(p, "query failed", PQresultErrorMessage(r));
        return DRIVER_ERROR;
    }
    for (int row = 0; row < PQntuples(r); row++)
        for (int column = 0; column < PQnfields(r); column++)
            if (!PQgetisnull(r, row, column) &&
                !q->value(q->context, PQgetvalue(r, row, column),
                    (size_t)PQgetlength(r, row, column)))
                return DRIVER_SPENT;
    return DRIVER_OK;
}

static enum driver_result
lost(PGconn *db, const char *what, struct driver_problem *p)
{
    say(p, "query", what != NULL ? what : PQerrorMessage(db));
    return DRIVER_LOST;
}

/* A query under way: until when, and how much may still come. */
struct asking {
    PGconn *db;
    long deadline;
    int left;
    struct driver_problem *problem;
};

/* libpq makes room for any length that the server says: it is looked at before. */
static enum driver_result
read_more(struct asking *a)
{
    int waiting = 0;

    if (!wait_for(a->db, POLLIN, a->deadline))
        return lost(a->db, "timed out", a->problem);
    if (ioctl(PQsocket(a->db), FIONREAD, &waiting) == 0 && waiting > a->left)
        return lost(a->db, "the answer is too long", a->problem);
    a->left -= waiting;
    return PQconsumeInput(a->db) ? DRIVER_OK : lost(a->db, NULL, a->problem);
}

static enum driver_result
send_query(struct asking *a, const char *text)
{
    int more;

    /* Row by row: what is not wanted any more is not kept either. */
    if (!PQsendQuery(a->db, text) || !PQsetSingleRowMode(a->db))
        return lost(a->db, NULL, a->problem);
    while ((more = PQflush(a->db)) == 1)
        if (!wait_for(a->db, POLLOUT, a->deadline))
            return lost(a->db, "timed out", a->problem);
    return more == 0 ? DRIVER_OK : lost(a->db, NULL, a->problem);
}

static enum driver_result
ask(void *connection, const struct driver_query *q, struct driver_problem *p)
{
    struct asking a = { connection, now_ms() + (long)q->timeout_ms,
        DRIVER_ANSWER_MAX, p };
    enum driver_result result = send_query(&a, q->text), answer = DRIVER_OK;

    while (result == DRIVER_OK) {
        PGresult *r;

        while (PQisBusy(a.db) && result == DRIVER_OK)
            result = read_more(&a);
        if (result != DRIVER_OK)
            break;
        r = PQgetResult(a.db);
        if (r == NULL)
            return PQstatus(a.db) == CONNECTION_OK ? answer
                                                   : lost(a.db, NULL, p);
        if (answer == DRIVER_OK)
            answer = take_rows(r, q, p);
        if (answer == DRIVER_SPENT)
            result = DRIVER_SPENT;
        PQclear(r);
    }
    return result;
}

static void
disconnect(void *connection)
{
    PQfinish(connection);
}

const struct table_driver postern_table_driver = {
    .version = TABLE_DRIVER_VERSION,
    .hosts = "hosts",
    .default_hosts = "localhost",
    .query = "query",
    .connect = connect_to,
    .quote = quote,
    .query_for = ask,
    .disconnect = disconnect,
};
