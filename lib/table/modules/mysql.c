/*
 * mysql - MySQL and MariaDB, as mysql_table(5) has them.
 */
#include "lib/table/driver.h"

#include <mysql.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *
setting(const struct driver_settings *s, const char *name, const char *fallback)
{
    const char *value = s->get(s->context, name);

    return value == NULL || *value == '\0' ? fallback : value;
}

static void
set_options(MYSQL *db, const struct driver_settings *s, unsigned timeout_ms)
{
    const unsigned seconds = timeout_ms / 1000 + 1;
    const char *file = setting(s, "option_file", NULL);
    const char *group = setting(s, "option_group", NULL);
    const char *verify = setting(s, "tls_verify_cert", "no");
    my_bool on = strcasecmp(verify, "yes") == 0;

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

static void *
connect_to(const struct driver_settings *s, const char *host,
    unsigned timeout_ms, struct driver_problem *p)
{
    MYSQL *db = mysql_init(NULL);
    struct place to;

    if (db == NULL) {
        (void)snprintf(p->text, sizeof(p->text), "out of memory");
        return NULL;
    }
    set_options(db, s, timeout_ms);
    take_host(host, &to);
    /* Stored procedures give several results. */
    if (mysql_real_connect(db, to.path != NULL ? NULL : to.host,
            setting(s, "user", NULL), setting(s, "password", NULL),
            setting(s, "dbname", NULL), to.port, to.path,
            CLIENT_MULTI_RESULTS) != NULL)
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

/* False: enough. */
static bool
take_rows(MYSQL_RES *r, const struct driver_query *q)
{
    MYSQL_ROW row;

    while ((row = mysql_fetch_row(r)) != NULL) {
        const unsigned long *sizes = mysql_fetch_lengths(r);

        for (unsigned i = 0; i < mysql_num_fields(r); i++)
            if (row[i] != NULL && !q->value(q->context, row[i], sizes[i]))
                return false;
    }
    return true;
}

static enum driver_result
ask(void *connection, const struct driver_query *q, struct driver_problem *p)
{
    MYSQL *db = connection;
    bool any = false, more = true;
    int next = 0;

    if (mysql_query(db, q->text) != 0)
        return failed(db, p);
    while (next == 0) {
        MYSQL_RES *r = mysql_store_result(db);

        if (r == NULL && mysql_errno(db) != 0)
            return failed(db, p);
        if (r != NULL) {
            any = true;
            more = more && take_rows(r, q);
            mysql_free_result(r);
        }
        next = mysql_next_result(db);
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
