/*
 * mysql - MySQL and MariaDB, as mysql_table(5) has them. The library's own time
 * limits are for each read; its non-blocking form lets each question end in time,
 * however slowly a server says how much.
 */
#include "lib/table/modules/module.h"

#include <errno.h>
#include <mysql.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void
set_options(MYSQL *db, const struct driver_settings *s, unsigned timeout_ms)
{
    const unsigned seconds = timeout_ms / 1000 + 1;
    const char *file = setting(s, "option_file", NULL);
    const char *group = setting(s, "option_group", NULL);
    const char *verify = setting(s, "tls_verify_cert", "no");
    const unsigned long most = DRIVER_ANSWER_MAX;
    const unsigned no_files = 0;
    my_bool on = strcasecmp(verify, "yes") == 0;

    (void)mysql_options(db, MYSQL_OPT_NONBLOCK, NULL);
    (void)mysql_options(db, MYSQL_OPT_MAX_ALLOWED_PACKET, &most);
    /* The server may otherwise have us send any file of ours. */
    (void)mysql_options(db, MYSQL_OPT_LOCAL_INFILE, &no_files);
    (void)mysql_options(db, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    (void)mysql_options(db, MYSQL_OPT_READ_TIMEOUT, &seconds);
    (void)mysql_options(db, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
    (void)mysql_options(db, MYSQL_SET_CHARSET_NAME,
        setting(s, "charset", "utf8mb4"));
    if (file != NULL)
        (void)mysql_options(db, MYSQL_READ_DEFAULT_FILE, file);
    if (group != NULL)
        (void)mysql_options(db, MYSQL_READ_DEFAULT_GROUP, group);
    if (setting(s, "tls_key_file", NULL) != NULL ||
        setting(s, "tls_cert_file", NULL) != NULL ||
        setting(s, "tls_CAfile", NULL) != NULL ||
        setting(s, "tls_CApath", NULL) != NULL ||
        setting(s, "tls_ciphers", NULL) != NULL)
        (void)mysql_ssl_set(db, setting(s, "tls_key_file", NULL),
            setting(s, "tls_cert_file", NULL), setting(s, "tls_CAfile", NULL),
            setting(s, "tls_CApath", NULL), setting(s, "tls_ciphers", NULL));
    if (on)
        (void)mysql_options(db, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &on);
}

/* "unix:/socket", "inet:host:port", "host:port", "/socket". */
struct place {
    char host[256];
    const char *path;
    unsigned port;
};

static void
take_host(const char *text, struct place *to)
{
    char *colon;

    *to = (struct place){ .path = NULL };
    if (strncmp(text, "unix:", 5) == 0 || text[0] == '/') {
        to->path = text[0] == '/' ? text : text + 5;
        return;
    }
    if (strncmp(text, "inet:", 5) == 0)
        text += 5;
    (void)snprintf(to->host, sizeof(to->host), "%s", text);
    colon = strrchr(to->host, ':');
    if (colon != NULL) {
        *colon = '\0';
        to->port = (unsigned)strtoul(colon + 1, NULL, 10) & 0xffff;
    }
}

/*
 * A step that the library has begun: events are what it waits for. What has come
 * of them, or that it is too late.
 */
static int
wait_for(MYSQL *db, int events, long deadline)
{
    struct pollfd p = { .fd = mysql_get_socket(db) };
    long left = deadline - now_ms();
    int ready, come = 0;

    if ((events & MYSQL_WAIT_READ) != 0)
        p.events |= POLLIN;
    if ((events & MYSQL_WAIT_WRITE) != 0)
        p.events |= POLLOUT;
    if ((events & MYSQL_WAIT_EXCEPT) != 0)
        p.events |= POLLPRI;
    ready = left <= 0 ? 0 : poll(&p, 1, (int)left);
    if (ready == 0)
        return MYSQL_WAIT_TIMEOUT;
    if ((p.revents & POLLIN) != 0)
        come |= MYSQL_WAIT_READ;
    if ((p.revents & POLLOUT) != 0)
        come |= MYSQL_WAIT_WRITE;
    if ((p.revents & POLLPRI) != 0)
        come |= MYSQL_WAIT_EXCEPT;
    /* An error or a signal: the library looks itself. */
    return come != 0 ? come : events & ~MYSQL_WAIT_TIMEOUT;
}

/* Calls begin, and go_on until it has ended. */
#define IN_TIME(db, deadline, begin, go_on)                       \
    do {                                                          \
        int status_ = (begin);                                    \
                                                                  \
        while (status_ != 0) {                                    \
            const int come = wait_for((db), status_, (deadline)); \
                                                                  \
            status_ = (go_on);                                    \
        }                                                         \
    } while (0)

static void *
connect_to(const struct driver_settings *s, const char *host,
    unsigned timeout_ms, struct driver_problem *p)
{
    const long deadline = now_ms() + (long)timeout_ms;
    MYSQL *db = mysql_init(NULL), *connected = NULL;
    struct place to;

    if (db == NULL) {
        (void)snprintf(p->text, sizeof(p->text), "out of memory");
        return NULL;
    }
    set_options(db, s, timeout_ms);
    take_host(host, &to);
    /* Stored procedures give several results. */
    IN_TIME(db, deadline,
        mysql_real_connect_start(&connected, db,
            to.path != NULL ? NULL : to.host, setting(s, "user", NULL),
            setting(s, "password", NULL), setting(s, "dbname", NULL), to.port,
            to.path, CLIENT_MULTI_RESULTS),
        mysql_real_connect_cont(&connected, db, come));
    if (connected != NULL)
        return db;
    (void)snprintf(p->text, sizeof(p->text),
        "connect to mysql server %.100s: "
        "%.150s",
        host, mysql_error(db));
    mysql_close(db);
    return NULL;
}

static bool
quote(void *connection, enum driver_quote kind, const char *in, size_t size,
    char *out)
{
    (void)kind;
    (void)mysql_real_escape_string(connection, out, in, size);
    return true;
}

static enum driver_result
failed(MYSQL *db, struct driver_problem *p)
{
    enum { CLIENT_ERRORS = 2000, CLIENT_ERRORS_END = 3000 };
    unsigned error = mysql_errno(db);

    (void)snprintf(p->text, sizeof(p->text), "query failed: %.250s",
        mysql_error(db));
    /* What the library says, not the server: the connection has gone. */
    return error >= CLIENT_ERRORS && error < CLIENT_ERRORS_END ? DRIVER_LOST
                                                               : DRIVER_ERROR;
}

/* Rows are taken as they come: what is too much is not kept. */
static enum driver_result
take_rows(MYSQL *db, MYSQL_RES *r, const struct driver_query *q, long deadline,
    struct driver_problem *p)
{
    for (;;) {
        const unsigned long *sizes;
        MYSQL_ROW row = NULL;

        IN_TIME(db, deadline, mysql_fetch_row_start(&row, r),
            mysql_fetch_row_cont(&row, r, come));
        if (row == NULL)
            return mysql_errno(db) == 0 ? DRIVER_OK : failed(db, p);
        sizes = mysql_fetch_lengths(r);
        for (unsigned i = 0; i < mysql_num_fields(r); i++)
            if (row[i] != NULL && !q->value(q->context, row[i], sizes[i]))
                return DRIVER_SPENT;
    }
}

/* The end of r; what was not read of it is lost with the connection. */
static enum driver_result
end_rows(MYSQL_RES *r, enum driver_result result)
{
    if (result != DRIVER_OK)
        r->handle = NULL; /* else the rest would be read, however much it is */
    mysql_free_result(r);
    return result;
}

static enum driver_result
ask(void *connection, const struct driver_query *q, struct driver_problem *p)
{
    const long deadline = now_ms() + (long)q->timeout_ms;
    MYSQL *db = connection;
    bool any = false;
    int failure = 0, next = 0;

    IN_TIME(db, deadline,
        mysql_real_query_start(&failure, db, q->text, strlen(q->text)),
        mysql_real_query_cont(&failure, db, come));
    if (failure != 0)
        return failed(db, p);
    while (next == 0) {
        MYSQL_RES *r = mysql_use_result(db);
        enum driver_result result;

        if (r == NULL && mysql_errno(db) != 0)
            return failed(db, p);
        if (r != NULL) {
            any = true;
            result = end_rows(r, take_rows(db, r, q, deadline, p));
            if (result != DRIVER_OK)
                return result;
        }
        IN_TIME(db, deadline, mysql_next_result_start(&next, db),
            mysql_next_result_cont(&next, db, come));
    }
    if (next > 0)
        return failed(db, p);
    if (any ||
        strcasecmp(setting(q->settings, "require_result_set", "yes"), "no") ==
            0)
        return DRIVER_OK;
    (void)snprintf(p->text, sizeof(p->text), "query failed: no result set");
    return DRIVER_ERROR;
}

static void
disconnect(void *connection)
{
    mysql_close(connection);
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
