/*
 * smtp_agent - the SMTP and LMTP client in this process, with a queue manager's
 * end of a link to it.
 */
#pragma once

#include "lib/base/log.h"
#include "lib/config/config.h"
#include "lib/io/fiber.h"
#include "lib/ipc/link.h"
#include "lib/mail/delivery.h"
#include "smtp/deliver.h"
#include "tests/unit/kept_log.h"
#include "tests/unit/smtp_servers.h"

static struct {
    struct client client;
    struct config_set *set;
    struct link *qmgr, *agent; /* its ends */
} t;

static inline void
serve_deliver(struct request *r)
{
    deliver(&t.client, r, t.set);
}

static const struct link_handler agent_handlers[] = {
    { MESSAGE_DELIVER, serve_deliver, SERVE_FIBER },
    { MESSAGE_NONE },
};
static const struct link_handler no_handlers[] = { { MESSAGE_NONE } };

/* What the table abbreviates, in place of its signs. */
static inline void
expand(const char *text, struct buf *to)
{
    struct sock_addr addr;
    char address[SOCK_TEXT_MAX];

    buf_clear(to);
    for (; *text != '\0'; text++) {
        if (*text == '%') {
            buf_add_format(to, ":%u", servers.port);
        } else if (*text == '#' || *text == '!') {
            server_address(*text == '#' ? 0 : 1, &addr);
            buf_add_text(to, sock_addr_text(&addr, address));
        } else {
            buf_add_octet(to, (unsigned char)*text);
        }
    }
}

static inline void
add_recipients(const char *text, struct delivery *d)
{
    static struct delivery_recipient recipients[8];
    struct slice rest = slice_of(text), word;

    d->recipients = recipients;
    while (slice_word(&rest, " ", &word)) {
        recipients[d->recipient_count] = (struct delivery_recipient){
            .index = (uint32_t)d->recipient_count * 10 + 5,
            .rcpt.address = word,
        };
        d->recipient_count++;
    }
}

static inline void
agent_gone(struct link *l, void *context)
{
    (void)l;
    (void)context;
    t.agent = NULL; /* it frees itself */
}

/* The agent's and qmgr's ends of a link. */
static inline void
open_link(void)
{
    struct link_options agent = { .self = ROLE_SMTP,
        .peer = ROLE_QMGR,
        .peer_name = "qmgr",
        .handlers = agent_handlers,
        .on_gone = agent_gone };
    struct link_options qmgr = { .self = ROLE_QMGR,
        .peer = ROLE_SMTP,
        .peer_name = "smtp",
        .handlers = no_handlers };
    int pair[2];

    if (sock_pair(pair) < 0)
        failure("socketpair");
    t.agent = link_open(pair[0], &agent);
    t.qmgr = link_open(pair[1], &qmgr);
}

static inline void
load_config(const char *config)
{
    struct buf text, extra;
    struct why why;

    buf_init(&text, 4096);
    buf_init(&extra, 4096);
    expand(config, &extra);
    buf_add_format(&text,
        "myhostname=client.test\ninet_protocols=ipv4\n"
        "smtp_randomize_addresses=no\n%s\n",
        buf_text(&extra));
    assert_int_equal(config_from_text(buf_text(&text),
                         "smtp unix - - n - - smtp\n"
                         "lmtp unix - - n - - lmtp\n",
                         &t.set, &why),
        RESULT_OK);
    buf_fini(&text);
    buf_fini(&extra);
}

static inline void
begin(const char *const scripts[], const char *config)
{
    failed[0] = logged[0] = '\0';
    buf_init(&servers.content, 16 << 20);
    while (!open_listeners(scripts))
        close_listeners();
    load_config(config);
    list_init(&t.client.jobs);
    t.client.draining = false;
    t.client.idle = idle_new();
}

static inline void
end(void)
{
    idle_free(t.client.idle);
    config_drop(t.set);
    buf_fini(&servers.content);
}

static inline void
run_in_sched(fiber_fn fn, const void *arg)
{
    log_set_sink(keep_log, NULL, NULL);
    sched_open();
    assert_non_null(fiber_spawn("test", fn, (void *)(uintptr_t)arg));
    sched_run();
    sched_close();
    log_set_sink(NULL, NULL, NULL);
    close_listeners();
}

/* What scripts have in common. */
/* clang-format off */
#define HELLO "> 220 mx.test ESMTP\n< EHLO client.test\n> 250 mx.test\n"
#define HELLO_PIPE                                                           \
    "> 220 mx.test ESMTP\n< EHLO client.test\n> 250-mx.test\n"               \
    "> 250-PIPELINING\n> 250-SIZE 100000\n> 250-8BITMIME\n> 250 DSN\n"
#define HELLO_PIPE_ANY                                                       \
    "> 220 mx.test ESMTP\n< EHLO client.test\n> 250-mx.test\n"               \
    "> 250-PIPELINING\n> 250 SIZE\n"
#define MAIL     "< MAIL FROM:<s@client.test>\n> 250 2.1.0 ok\n"
#define RCPT(a)  "< RCPT TO:<" a ">\n> 250 2.1.5 ok\n"
#define DATA     "< DATA\n> 354 go\n~\n> 250 2.0.0 Ok: queued as X\n"
#define ONE_MAIL MAIL RCPT("a@x") DATA
#define PIPE_MAIL \
    "< MAIL FROM:<s@client.test> SIZE=\n< RCPT TO:<a@x>\n< DATA\n" \
    "> 250 2.1.0 ok\n> 250 2.1.5 ok\n> 354 go\n~\n> 250 2.0.0 done\n"

/* clang-format on */
