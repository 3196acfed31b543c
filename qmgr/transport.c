#include "qmgr/transport.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "qmgr/destination.h"

#include <stdio.h>
#include <stdlib.h>

enum { TRANSPORTS_MAX = 4096 }; /* names that lookup may make up */

static const struct {
    const char *program;
    enum transport_kind kind;
    enum role role;
} programs[] = {
    { "smtp", TRANSPORT_AGENT, ROLE_SMTP },
    { "lmtp", TRANSPORT_AGENT, ROLE_SMTP },
    { "local", TRANSPORT_AGENT, ROLE_LOCAL },
    { "virtual", TRANSPORT_AGENT, ROLE_LOCAL },
    { "pipe", TRANSPORT_AGENT, ROLE_LOCAL },
    { "error", TRANSPORT_ERROR, ROLE_QMGR },
    { "discard", TRANSPORT_DISCARD, ROLE_QMGR },
};

bool
feedback_parse(const char *text, struct feedback *f)
{
    struct feedback read = { 0 };
    char *end;

    read.amount = strtod(text, &end);
    if (end == text || !(read.amount >= 0 && read.amount <= 1000))
        return false;
    while (*end == ' ' || *end == '\t')
        end++;
    if (*end == '/') {
        struct slice per = slice_trim(slice_of(end + 1));

        if (slice_eq_text(per, "concurrency")) {
            read.per = FEEDBACK_WINDOW;
        } else if (slice_eq_text(per, "sqrt_concurrency")) {
            read.per = FEEDBACK_SQRT;
        } else {
            double by = strtod(per.ptr, &end);

            if (end != per.ptr + per.len || per.len == 0 || !(by > 0))
                return false;
            read.amount /= by;
        }
    } else if (*end != '\0') {
        return false;
    }
    *f = read;
    return true;
}

/* Good enough, and without the library of mathematics. */
static double
square_root(double n)
{
    double root = n;

    for (unsigned i = 0; i < 20; i++)
        root = (root + n / root) / 2;
    return root;
}

double
feedback_of(const struct feedback *f, double window)
{
    if (window < 1)
        window = 1;
    switch (f->per) {
    case FEEDBACK_CONSTANT:
        break;
    case FEEDBACK_WINDOW:
        return f->amount / window;
    case FEEDBACK_SQRT:
        return f->amount / square_root(window);
    }
    return f->amount;
}

static int64_t
number_of(struct qmgr *q, const struct transport *t, const char *suffix,
    int64_t fallback)
{
    return config_transport_number(q->set, t->name, suffix, fallback);
}

static void
read_feedback(struct qmgr *q, const struct transport *t, const char *suffix,
    const char *fallback, struct feedback *f)
{
    const char *text = config_transport_text(q->set, t->name, suffix, fallback);

    if (feedback_parse(text, f))
        return;
    log_warning("%s_%s: bad feedback \"%s\", using 1", t->name, suffix, text);
    *f = (struct feedback){ .amount = 1 };
}

static void
read_limits(struct qmgr *q, struct transport *t)
{
    const struct config *c = q->config;

    t->window_limit = number_of(q, t, "destination_concurrency_limit",
        c->default_destination_concurrency_limit);
    t->window_first = number_of(q, t, "initial_destination_concurrency",
        c->initial_destination_concurrency);
    t->recipient_limit = number_of(q, t, "destination_recipient_limit",
        c->default_destination_recipient_limit);
    t->waiting_limit = number_of(q, t, "recipient_limit",
        c->default_recipient_limit);
    t->cohort_limit = number_of(q, t,
        "destination_concurrency_failed_cohort_limit",
        c->default_destination_concurrency_failed_cohort_limit);
    t->rate_delay_ms = config_transport_time(q->set, t->name,
        "destination_rate_delay", c->default_destination_rate_delay);
    t->spacing_ms = config_transport_time(q->set, t->name,
        "transport_rate_delay", c->default_transport_rate_delay);
    read_feedback(q, t, "destination_concurrency_positive_feedback",
        c->default_destination_concurrency_positive_feedback, &t->positive);
    read_feedback(q, t, "destination_concurrency_negative_feedback",
        c->default_destination_concurrency_negative_feedback, &t->negative);
    if (t->window_limit > 0 && t->window_first > t->window_limit)
        t->window_first = t->window_limit;
    if (t->window_first < 1)
        t->window_first = 1;
}

static bool
is_listed(const char *list, const char *name)
{
    struct slice rest = slice_of(list), word;

    while (config_list_next(&rest, &word))
        if (slice_eq_text(word, name))
            return true;
    return false;
}

static void
configure(struct qmgr *q, struct transport *t)
{
    const struct service *s = config_find_service(q->set, t->name, "unix");

    t->kind = TRANSPORT_NONE;
    t->tag = q->tag;
    if (s != NULL) {
        for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
            if (strcmp(s->program, programs[i].program) == 0) {
                t->kind = programs[i].kind;
                t->role = programs[i].role;
            }
        }
        t->tag = s->log_tag;
        t->process_limit = s->maxproc;
    }
    /* As with Postfix, the service's name tells whether error defers. */
    if (t->kind == TRANSPORT_ERROR && strcmp(t->name, "retry") == 0)
        t->kind = TRANSPORT_RETRY;
    t->deferred = is_listed(q->config->defer_transports, t->name);
    read_limits(q, t);
}

void
transport_configure_all(struct qmgr *q)
{
    for (struct map_node *n = map_first(&q->transports); n != NULL;
         n = map_after(&q->transports, n))
        configure(q, LIST_ENTRY(n, struct transport, node));
}

static bool
same_name(const struct map_node *node, const void *key)
{
    const struct transport *t = (const struct transport *)(const void *)node;

    return slice_eq_text(*(const struct slice *)key, t->name);
}

static void
spacing_over(struct qmgr *q, struct timer *timer)
{
    transport_touch(q, LIST_ENTRY(timer, struct transport, timer));
}

struct transport *
/* NOLINTNEXTLINE(misc-no-recursion): once, for "retry" */
transport_find(struct qmgr *q, struct slice name)
{
    const struct slice retry = SLICE_LIT("retry");
    struct map_node *n = map_find(&q->transports, map_hash_slice(name),
        same_name, &name);
    struct transport *t;

    if (n != NULL)
        return LIST_ENTRY(n, struct transport, node);
    if (q->transports.count >= TRANSPORTS_MAX && !slice_eq(name, retry))
        return transport_find(q, retry);
    t = mem_alloc(sizeof(*t));
    t->name = mem_text_of(name);
    t->timer.fire = spacing_over;
    list_init(&t->ready_link);
    list_init(&t->ready);
    configure(q, t);
    map_add(&q->transports, map_hash_slice(name), &t->node);
    return t;
}

void
transport_touch(struct qmgr *q, struct transport *t)
{
    if (list_empty(&t->ready) || t->ready_link.next != &t->ready_link)
        return;
    list_append(&q->ready, &t->ready_link);
    qmgr_wake(q);
}

void
transport_fini_all(struct qmgr *q)
{
    struct map_node *next;

    for (struct map_node *n = map_first(&q->transports); n != NULL; n = next) {
        struct transport *t = LIST_ENTRY(n, struct transport, node);

        next = map_after(&q->transports, n);
        map_remove(&q->transports, n);
        timer_disarm(q, &t->timer);
        mem_free(t->name);
        mem_free(t);
    }
    map_fini(&q->transports);
}
