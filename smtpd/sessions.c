#include "smtpd/sessions.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "smtpd/answers.h"
#include "smtpd/counts.h"
#include "smtpd/dialogue.h"
#include "smtpd/peer.h"
#include "smtpd/screen.h"
#include "smtpd/session.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LAST_WORD_MS = 1000, /* a drain's deadline comes this much earlier */
    COUNTS_MAX = 512,
};

/* All sessions of the process. */
static struct list all = LIST_INIT(all);
static struct fiber_cond ended = { LIST_INIT(ended.waiters) };

/* Replies are gathered already; Nagle's algorithm would hold back the last. */
static void
set_socket(int fd)
{
    const int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* The log */

static void
log_disconnect(const struct session *s)
{
    uint32_t all_counts = 0, all_goods = 0;
    struct buf text;

    buf_init(&text, COUNTS_MAX);
    for (enum verb v = 0; v < VERB_COUNT; v++) {
        if (s->counts[v] == 0)
            continue;
        buf_add_format(&text, " %s=%u", commands[v].count_name, s->goods[v]);
        if (s->goods[v] != s->counts[v])
            buf_add_format(&text, "/%u", s->counts[v]);
        all_counts += s->counts[v];
        all_goods += s->goods[v];
    }
    buf_add_format(&text, " commands=%u", all_goods);
    if (all_goods != all_counts || all_counts == 0)
        buf_add_format(&text, "/%u", all_counts);
    log_write(LOG_LEVEL_INFO, s->profile->tag, "disconnect from %s%s",
        s->peer.text, buf_text(&text));
    buf_fini(&text);
}

/* From beginning to end */

static void
session_fini(struct session *s)
{
    screen_end(s);
    counts_disconnect(s);
    session_forget(s);
    stream_free(s->client);
    profile_leave(s->profile);
}

static void
serve(struct session *s, const struct sock_addr *addr)
{
    struct sock_addr client = *addr;

    if (!peer_find_address(s, &client) ||
        (s->profile->screen != NULL && !screen_client(s)))
        return;
    peer_find_name(s, &client);
    if (!s->unseen)
        log_write(LOG_LEVEL_INFO, s->profile->tag, "connect from %s",
            s->peer.text);
    (void)dialogue_run(s);
    if (!s->unseen)
        log_disconnect(s);
}

void
sessions_serve(int fd, const struct sock_addr *addr,
    const struct service *service, struct config_set *set, bool public)
{
    struct session *s = mem_alloc(sizeof(*s));

    s->profile = profile_use(set, service, public,
        service != NULL && !public && daemon_strained(service));
    if (s->profile == NULL) {
        log_warning("no configuration for a connection");
        close(fd);
        mem_free(s);
        return;
    }
    s->config = s->profile->config;
    s->set = set;
    s->extra = service != NULL && s->profile->screen != NULL &&
        daemon_exceeded(service);
    s->fiber = fiber_self();
    s->client = stream_new(fd);
    session_reset(s);
    if (!public)
        set_socket(fd);
    list_append(&all, &s->node);
    serve(s, addr);
    list_remove(&s->node);
    session_fini(s);
    mem_free(s);
    if (list_empty(&all))
        fiber_cond_broadcast(&ended);
}

/* Drain */

static void
cancel_all(bool busy_too)
{
    list_foreach (it, &all) {
        struct session *s = LIST_ENTRY(it, struct session, node);

        if (s->idle || busy_too)
            fiber_cancel(s->fiber);
    }
}

static void
wait_until_none(int64_t deadline)
{
    while (!list_empty(&all))
        if (fiber_cond_wait(&ended, deadline) != WAIT_OK)
            return;
}

void
sessions_drain(int64_t deadline_ms)
{
    cancel_all(false);
    wait_until_none(deadline_ms - LAST_WORD_MS);
    cancel_all(true);
    wait_until_none(deadline_ms);
}

void
sessions_count_again(void)
{
    list_foreach (it, &all)
        counts_again(LIST_ENTRY(it, struct session, node));
}
