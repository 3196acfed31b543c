/*
 * lookup - what the other daemons ask outside of themselves: where an address
 * goes (trivial-rewrite(8)'s "resolve"), DNS, hosts, names of clients; and what
 * all of them remember together.
 *
 * Each question is a fiber; answers come from memory wherever they can. It runs
 * without any right.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/dns/dns.h"
#include "lib/dns/dns_codec.h"
#include "lib/io/fiber.h"
#include "lib/mail/count.h"
#include "lib/mail/user_access.h"
#include "lib/table/table.h"
#include "lookup/clients.h"
#include "lookup/console.h"
#include "lookup/counters.h"
#include "lookup/memo_keeper.h"
#include "lookup/native.h"
#include "lookup/refusal.h"
#include "lookup/resolver.h"
#include "lookup/router.h"
#include "lookup/tables.h"
#include "lookup/verifier.h"

enum {
    /* Who asks waits no longer than this by itself; nor do we. */
    DNS_MS = 60 * 1000,
};

/* What this process is: set once, or anew at a reload. */
static struct resolver *resolver;
static struct router *router;
static struct clients *clients;
static struct tables *tables;
static struct counters *counters;
static struct fiber_timer statistics;

/* anvil(8)'s line of master.cf, and its tag in the log. */
static const struct config *
anvil_config(const struct config_set *set)
{
    return config_of_service(set, "anvil");
}

static void
log_statistics(void *arg)
{
    const struct config_set *set = daemon_config();

    (void)arg;
    counters_log(counters, config_tag_of_service(set, "anvil", "anvil"));
    fiber_timer_arm(&statistics,
        clock_now_ms() + anvil_config(set)->anvil_status_update_time);
}

static enum result
configure(struct config_set *set, struct why *why)
{
    struct tables *fresh_tables;
    struct router *fresh_router = NULL;
    enum result res;

    /* First: the router's tables are opened with what master read for them. */
    res = tables_open(set, &fresh_tables, why);
    if (res != RESULT_OK)
        return res;
    res = router_open(set, &fresh_router, why);
    if (res == RESULT_OK)
        res = resolver_configure(resolver, config_main(set), why);
    if (res != RESULT_OK) { /* all of it, or none */
        router_drop(fresh_router);
        tables_refuse(fresh_tables);
        return res;
    }
    tables_accept(fresh_tables);
    tables_drop(tables);
    tables = fresh_tables;
    /* A command's own lookup (smtpd/explain.c) keeps off the caches' files. */
    memo_keeper_configure(set,
        daemon_pool() > 0 ? MEMO_IN_FILES : MEMO_IN_MEMORY);
    verifier_configure(set);
    counters_set_units(counters, anvil_config(set)->anvil_rate_time_unit,
        anvil_config(set)->smtpd_login_rate_time_unit);
    router_drop(router);
    router = fresh_router;
    table_warn_unavailable();
    return RESULT_OK;
}

/* The peer broke the protocol's word: its question is dropped, and named. */
static void
refuse(struct request *r, const struct why *why)
{
    if (refusal_due(r->link))
        log_warning("%s", why->text);
    request_drop(r);
}

static void
serve_resolve(struct request *r)
{
    static const struct route none;
    struct route_question q;
    struct router *held;
    struct route *route;
    struct why why = { 0 };
    struct msg m;
    enum result res;

    if (route_ask_decode(r->in->body, &q, &why) != RESULT_OK) {
        /* Mail waits for this answer: there has to be one. */
        route_encode(RESULT_TEMPFAIL, &none, &why, &m);
        request_reply(r, &m);
        return;
    }
    route = mem_alloc(sizeof(*route));
    held = router_hold(router);
    res = router_resolve(held, &q, route, &why);
    router_drop(held);
    route_encode(res, route, &why, &m);
    mem_free(route);
    request_reply(r, &m);
}

static void
serve_dns(struct request *r)
{
    struct slice name;
    enum dns_type type;
    struct arena arena;
    struct dns_answer answer;
    struct why why = { 0 };
    struct msg m;

    if (dns_ask_decode(r->in->body, &name, &type, &why) != RESULT_OK) {
        refuse(r, &why);
        return;
    }
    arena_init(&arena, RESOLVER_ARENA_MAX);
    resolver_ask(resolver, name, type, &arena, clock_now_ms() + DNS_MS, &answer,
        &why);
    msg_init(&m, MESSAGE_DNS_ANSWER);
    dns_answer_encode(&answer, &why, &m);
    arena_clear(&arena);
    request_reply(r, &m);
}

static void
serve_host(struct request *r)
{
    struct slice host;
    unsigned families;
    struct arena arena;
    struct dns_answer answer;
    struct why why = { 0 };
    struct msg m;

    if (dns_host_ask_decode(r->in->body, &host, &families, &why) != RESULT_OK) {
        refuse(r, &why);
        return;
    }
    arena_init(&arena, RESOLVER_ARENA_MAX);
    native_host(host, families, &arena, &answer, &why);
    msg_init(&m, MESSAGE_HOST_ANSWER);
    dns_answer_encode(&answer, &why, &m);
    arena_clear(&arena);
    request_reply(r, &m);
}

static void
serve_client(struct request *r)
{
    struct sock_addr addr;
    struct client_name name;
    struct why why = { 0 };
    struct msg m;

    if (dns_client_ask_decode(r->in->body, &addr, &why) != RESULT_OK) {
        refuse(r, &why);
        return;
    }
    clients_find(clients, &addr, clock_now_ms() + DNS_MS, &name);
    msg_init(&m, MESSAGE_CLIENT_ANSWER);
    dns_client_answer_encode(&name, &m);
    request_reply(r, &m);
}

static void
serve_count(struct request *r)
{
    enum count_event event;
    struct slice key;
    struct count count;
    struct why why;
    struct msg m;

    if (!count_decode(r->in->body, &event, &key)) {
        (void)why_perm(&why, "", "malformed count from %s",
            link_peer_name(r->link));
        refuse(r, &why);
        return;
    }
    counters_count(counters, r->context, event, key, &count);
    if (r->in->type == MESSAGE_TALLY_TELL) {
        request_drop(r);
        return;
    }
    count_encode(&count, &m);
    request_reply(r, &m);
}

static void
peer_gone(struct peer *p)
{
    if (p->role == ROLE_SMTPD)
        counters_forget(counters, p);
}

static enum result
begin(struct why *why)
{
    (void)why;
    statistics.fn = log_statistics;
    fiber_timer_arm(&statistics,
        clock_now_ms() +
            anvil_config(daemon_config())->anvil_status_update_time);
    return RESULT_OK;
}

static void
serve_user(struct request *r)
{
    struct config_set *set = config_hold(daemon_config());

    user_access_answer(config_main(set), r);
    config_drop(set);
}

static void
serve_table(struct request *r)
{
    tables_serve(tables, r);
}

static void
serve(int fd, const struct sock_addr *client, const struct service *service,
    struct config_set *set, const char *public)
{
    (void)client;
    (void)service;
    (void)set;
    (void)public;
    console_serve(fd);
}

static void
drain(int64_t deadline_ms)
{
    console_end();
    fiber_timer_disarm(&statistics);
    counters_log(counters,
        config_tag_of_service(daemon_config(), "anvil", "anvil"));
    memo_keeper_close(deadline_ms);
}

int
main(int argc, char **argv)
{
    static const struct link_handler handlers[] = {
        { MESSAGE_RESOLVE, serve_resolve, SERVE_FIBER },
        { MESSAGE_DNS_ASK, serve_dns, SERVE_FIBER },
        { MESSAGE_HOST_ASK, serve_host, SERVE_FIBER },
        { MESSAGE_CLIENT_ASK, serve_client, SERVE_FIBER },
        { MESSAGE_TABLE_ASK, serve_table, SERVE_FIBER },
        { MESSAGE_USER_ASK, serve_user, SERVE_FIBER },
        { MESSAGE_TALLY, serve_count, SERVE_INLINE },
        { MESSAGE_TALLY_TELL, serve_count, SERVE_INLINE },
        { MESSAGE_MEMO_ASK, memo_keeper_ask, SERVE_FIBER },
        { MESSAGE_MEMO_KEEP, memo_keeper_keep, SERVE_INLINE },
        { MESSAGE_VERIFY_ASK, verifier_ask, SERVE_FIBER },
        { MESSAGE_VERIFY_FOUND, verifier_found, SERVE_FIBER },
        { MESSAGE_VERIFY_LOST, verifier_lost, SERVE_FIBER },
        { MESSAGE_NONE },
    };
    static const struct daemon_options options = {
        .role = ROLE_LOOKUP,
        .configure = configure,
        .handlers = handlers,
        .peer_gone = peer_gone,
        .serve = serve,
        .begin = begin,
        .drain = drain,
    };

    resolver = resolver_new();
    clients = clients_new(native_client);
    counters = counters_new();
    daemon_init(argc, argv, &options);
    return daemon_run();
}
