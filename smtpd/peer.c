#include "smtpd/peer.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "smtpd/proxy_header.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

#include <netdb.h>
#include <stdio.h>

enum {
    NAME_WAIT_MS = 100 * 1000, /* for the client's name in DNS */
    SHOWN_MAX = 100,           /* octets of a bad header in the log */
};

/* PROXY */

/* Does this connection begin with a proxy's header? */
static bool
speaks_proxy(struct session *s, bool *refused)
{
    struct why why;
    bool listed;

    *refused = false;
    if (s->profile->stand_alone || s->profile->proxy == PROXY_FORBIDDEN)
        return false;
    if (s->config->smtpd_upstream_proxy_networks[0] == '\0')
        return s->profile->proxy == PROXY_REQUIRED;
    listed = match_list_find_host(s->profile->proxy_networks,
                 SLICE_LIT("unknown"), slice_of(s->peer.addr),
                 &why) == TABLE_FOUND;
    *refused = !listed && s->profile->proxy == PROXY_REQUIRED;
    return listed;
}

static bool
no_proxy(struct session *s, const char *what, struct slice shown)
{
    log_write(LOG_LEVEL_WARNING, s->profile->tag,
        "haproxy read: %s: " SLICE_FMT " from %s", what,
        SLICE_ARG(slice_head(shown, SHOWN_MAX)), s->peer.addr);
    s->peer.name = mem_text("unknown");
    peer_describe(s);
    reply(s, 421, "4.3.0 %s Server local error", s->config->myhostname);
    if (stream_flush(s->client, clock_now_ms() + 1000) != STREAM_OK)
        return false;
    return false;
}

/*
 * In version 1 a health check names the proxy's own end of the connection; in
 * version 2 it is LOCAL.
 */
static void
take_header(struct session *s, const struct proxy_header *h,
    struct sock_addr *addr)
{
    char client[SOCK_TEXT_MAX];
    uint16_t port = sock_addr_port(&h->client);

    (void)sock_addr_text(&h->client, client);
    s->unseen = port == s->peer.port && strcmp(client, s->peer.addr) == 0;
    *addr = h->client;
    memcpy(s->peer.addr, client, sizeof(client));
    s->peer.port = port;
    (void)sock_addr_text(&h->server, s->peer.dest_addr);
    s->peer.dest_port = sock_addr_port(&h->server);
}

/*
 * A health check may be gone, with a reset that takes its header along, before
 * we look. Of those that we know to be proxies that is no news.
 */
static bool
is_gone(const struct session *s, enum stream_status status, struct slice in)
{
    return (status == STREAM_EOF || status == STREAM_ERROR) && in.len == 0 &&
        s->config->smtpd_upstream_proxy_networks[0] != '\0';
}

/* *addr becomes the client's. */
static bool
read_proxy(struct session *s, struct sock_addr *addr)
{
    int64_t deadline = clock_now_ms() + s->config->smtpd_upstream_proxy_timeout;
    struct proxy_header h;
    const char *wrong;
    struct slice in = { NULL, 0 };

    for (;;) {
        enum stream_status status = stream_peek_at_least(s->client, in.len + 1,
            deadline, &in);

        if (is_gone(s, status, in))
            return false;
        if (status != STREAM_OK)
            return no_proxy(s,
                status == STREAM_TIMEOUT ? "timeout error" : "lost connection",
                (struct slice){ NULL, 0 });
        switch (proxy_header_parse(in, &h, &wrong)) {
        case PROXY_MORE:
            continue;
        case PROXY_BAD:
            return no_proxy(s, wrong, in);
        case PROXY_FOUND:
            take_header(s, &h, addr);
            break;
        case PROXY_LOCAL:
            s->unseen = true;
            break;
        }
        stream_consume(s->client, h.length);
        return true;
    }
}

/* Names */

/* Its name leads elsewhere, or nowhere: said as log readers know it. */
static void
log_unconfirmed(const struct session *s, const struct client_name *found)
{
    log_write(LOG_LEVEL_WARNING, s->profile->tag,
        "hostname %s does not resolve to address %s%s%s", found->reverse_name,
        s->peer.addr, found->status == CLIENT_NAME_TEMP ? ": " : "",
        found->status == CLIENT_NAME_TEMP ? gai_strerror(EAI_AGAIN) : "");
}

static void
find_name(struct session *s, const struct sock_addr *addr)
{
    struct client_name found = {
        .status = CLIENT_NAME_PERM,
        .reverse_status = CLIENT_NAME_PERM,
        .name = "unknown",
        .reverse_name = "unknown",
    };

    if (s->profile->stand_alone) {
        found = (struct client_name){ .name = "localhost",
            .reverse_name = "localhost" };
    } else if (s->config->smtpd_peername_lookup) {
        dns_ask_client(addr, clock_now_ms() + NAME_WAIT_MS, &found);
    }
    mem_free(s->peer.name);
    s->peer.name = mem_text(found.name);
    s->peer.name_status = found.status;
    s->peer.reverse_status = found.reverse_status;
    if (strcmp(found.name, found.reverse_name) != 0) {
        s->peer.reverse_name = mem_text(found.reverse_name);
        log_unconfirmed(s, &found);
    }
}

void
peer_describe(struct session *s)
{
    struct client *peer = &s->peer;

    mem_free(peer->text);
    peer->text = s->config->smtpd_client_port_logging
        ? mem_format("%s[%s]:%u", peer->name, peer->addr, peer->port)
        : mem_format("%s[%s]", peer->name, peer->addr);
}

bool
peer_find_address(struct session *s, struct sock_addr *addr)
{
    struct client *peer = &s->peer;
    bool refused;

    if (s->profile->stand_alone) {
        (void)snprintf(peer->addr, sizeof(peer->addr), "127.0.0.1");
    } else {
        (void)sock_addr_text(addr, peer->addr);
        peer->port = sock_addr_port(addr);
    }
    if (speaks_proxy(s, &refused) && !read_proxy(s, addr))
        return false;
    if (refused)
        return no_proxy(s, "not in smtpd_upstream_proxy_networks",
            (struct slice){ NULL, 0 });
    return true;
}

bool
peer_pretend(struct session *s, const char *address, const char *name)
{
    struct sock_addr addr;

    if (!sock_addr_parse(slice_of(address), 0, &addr))
        return false;
    (void)sock_addr_text(&addr, s->peer.addr);
    if (name == NULL)
        find_name(s, &addr);
    else
        s->peer.name = mem_text(name);
    peer_describe(s);
    return true;
}

void
peer_find_name(struct session *s, const struct sock_addr *addr)
{
    find_name(s, addr);
    peer_describe(s);
}

void
login_forget(struct login *login)
{
    mem_free(login->user);
    mem_free(login->method);
    mem_free(login->sender);
    *login = (struct login){ .user = NULL };
}
