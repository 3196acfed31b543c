/*
 * driver - what a module brings (lib/table/modules/NAME.c, loaded from
 * lib/postern/NAME.so when a table of that type is first asked): the client of
 * one kind of server. Which server is asked, what it is asked and what becomes of
 * the answer is driven.c's.
 *
 * A module uses nothing of postern but this header. Its calls may block, within
 * their time limit, whatever the server does: a thread that hangs is lost to the
 * table. They come from several threads, for one connection from one at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum {
    TABLE_DRIVER_VERSION = 2,
    DRIVER_PROBLEM_MAX = 300,
    /* Octets of one answer that a server may have us hold, or read past. */
    DRIVER_ANSWER_MAX = 4 * 1024 * 1024,
};

/* NULL: not set. */
struct driver_settings {
    const char *(*get)(const void *context, const char *name);
    const void *context;
};

struct driver_problem {
    char text[DRIVER_PROBLEM_MAX];
};

enum driver_quote { QUOTE_QUERY, QUOTE_BASE };

enum driver_result {
    DRIVER_OK,
    DRIVER_ERROR, /* the server says no: the next one will too */
    DRIVER_SPENT, /* enough was taken; the rest still stands in the connection */
    DRIVER_LOST,  /* the connection is of no use any more */
};

struct driver_query {
    const char *text;
    const char *base; /* ldap: the expanded search_base; else "" */
    unsigned timeout_ms;
    const struct driver_settings *settings;
    /* Called for each value. False: no more are wanted. */
    bool (*value)(void *context, const char *octets, size_t size);
    void *context;
};

struct table_driver {
    unsigned version;
    const char *hosts, *default_hosts; /* name of the setting; its default */
    const char *query, *default_query; /* likewise; NULL: has to be set */
    const char *base;                  /* likewise; NULL: there is none */
    /* Mistakes that no server needs to be asked for. NULL: nothing to check. */
    bool (*check)(const struct driver_settings *s, struct driver_problem *p);
    /* NULL on failure. */
    void *(*connect)(const struct driver_settings *s, const char *host,
        unsigned timeout_ms, struct driver_problem *p);
    /* out has room for 3 * size + 1 octets. False: there is no such value. */
    bool (*quote)(void *connection, enum driver_quote kind, const char *in,
        size_t size, char *out);
    enum driver_result (*query_for)(void *connection,
        const struct driver_query *q, struct driver_problem *p);
    void (*disconnect)(void *connection);
};

/* What each module exports. */
extern const struct table_driver postern_table_driver;
