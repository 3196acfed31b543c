/*
 * server - connections to a server that answers one question after another:
 * kept for the next question, made anew when they break, bounded in number.
 *
 * One that lets question after question run into its deadline is left alone for
 * a while, or each of them would keep a client waiting for as long; then one
 * question finds out whether it is back.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/io/fiber.h"
#include "lib/io/stream.h"
#include "lib/table/endpoint.h"
#include "lib/table/table_type.h"

enum {
    SERVER_CONNECTIONS_MAX = 64, /* to one; who comes later waits */
    SERVER_IDLE_MS = 60 * 1000,  /* closed after that long without use */
    SERVER_SILENT_MAX = 8,       /* questions in a row without an answer */
    SERVER_REST_MS = 10 * 1000,  /* for which nothing is asked then */
};

struct server {
    struct endpoint endpoint;
    struct list idle; /* last used last */
    unsigned open;
    struct fiber_cond given_back;
    unsigned silent;       /* questions in a row that met their deadline */
    int64_t rest_until_ms; /* if they are SERVER_SILENT_MAX */
    bool trying;           /* one is finding out */
};

/* Takes over what endpoint holds. */
void server_init(struct server *s, const struct endpoint *endpoint)
    ATTR_NONNULL;
void server_fini(struct server *s) ATTR_NONNULL;

/*
 * One question and its answer. fresh: nothing was said on this connection yet.
 * RESULT_OK: it can be used for the next one.
 */
typedef enum result (*server_talk_fn)(struct stream *st, bool fresh,
    void *context, int64_t deadline_ms, struct why *why);

/*
 * Calls talk, once more on a new connection when one that had been kept turns
 * out to be broken. Waits; or fails at once while the server is left alone.
 */
enum result server_ask(struct server *s, int64_t deadline_ms,
    server_talk_fn talk, void *context, struct why *why)
    __attribute__((nonnull(1, 3, 5))) ATTR_MUST_USE;

/* One lookup, for types whose server has one place. */
struct server_question {
    struct buf query;  /* what goes out; one that failed is too long */
    struct buf *value; /* of the answer */
    enum table_status status;
};

/*
 * For find(): server_ask() with q, whose status and value are then the answer's.
 * q->query is freed. Waits.
 */
enum table_status server_find(struct server *s, const struct table *t,
    int64_t wait_ms, server_talk_fn talk, struct server_question *q,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* For talk: octets, on their way. Waits. */
enum result server_say(struct stream *st, struct slice octets,
    int64_t deadline_ms, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* For talk: what a status other than STREAM_OK means. */
enum result server_lost(enum stream_status status, struct why *why)
    ATTR_NONNULL;
