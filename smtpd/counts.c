#include "smtpd/counts.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/io/sock.h"
#include "lib/mail/count.h"
#include "smtpd/session.h"

#include <ctype.h>

/* Who */

/* The network of an address, as smtpd_client_ipv4_prefix_length has it. */
static const char *
network_of(const struct session *s, char text[SOCK_TEXT_MAX])
{
    struct sock_addr addr;
    uint8_t *octets;
    size_t size, bits;

    if (!sock_addr_parse(slice_of(s->peer.addr), 0, &addr))
        return s->peer.addr;
    if (addr.u.any.sa_family == AF_INET) {
        octets = (uint8_t *)&addr.u.in.sin_addr;
        size = 4;
        bits = (size_t)s->config->smtpd_client_ipv4_prefix_length;
    } else {
        octets = addr.u.in6.sin6_addr.s6_addr;
        size = 16;
        bits = (size_t)s->config->smtpd_client_ipv6_prefix_length;
    }
    if (bits >= size * 8)
        return s->peer.addr;
    for (size_t i = 0; i < size; i++) {
        size_t keep = bits > i * 8 ? bits - i * 8 : 0;

        if (keep < 8)
            octets[i] &= (uint8_t)(0xff00U >> keep);
    }
    return sock_addr_text(&addr, text);
}

static bool
is_one_of(const struct session *s, struct match_list *hosts)
{
    struct why why;

    return match_list_find_host(hosts, slice_of(s->peer.name),
               slice_of(s->peer.addr), &why) == TABLE_FOUND;
}

/* A proxy; but those that it speaks for (XCLIENT) are counted. */
static bool
is_excepted(const struct session *s)
{
    const struct profile *p = s->profile;

    return p->stand_alone || is_one_of(s, p->xclient_hosts) ||
        is_one_of(s, p->limit_exceptions);
}

/* "login:" and "sender:" keys are folded: these are the same to everybody. */
static void
make_key(struct buf *key, const char *kind, struct slice who)
{
    buf_add_format(key, "%s:", kind);
    for (size_t i = 0; i < who.len; i++)
        buf_add_octet(key, (unsigned char)tolower((unsigned char)who.ptr[i]));
}

/* Connections */

static bool
too_many(const struct session *s, const char *what, uint32_t count,
    const char *who)
{
    log_write(LOG_LEVEL_WARNING, s->profile->tag,
        "%s limit exceeded: %u from %s for service %s", what, count, who,
        s->profile->name);
    return false;
}

/* As with Postfix nobody is counted who is never told that it is too much. */
static bool
has_limit(const struct config *c)
{
    return c->smtpd_client_connection_count_limit > 0 ||
        c->smtpd_client_connection_rate_limit > 0 ||
        c->smtpd_client_message_rate_limit > 0 ||
        c->smtpd_client_recipient_rate_limit > 0 ||
        c->smtpd_client_auth_rate_limit > 0;
}

bool
counts_connect(struct session *s, struct refusal *no)
{
    const struct config *config = s->config;
    char text[SOCK_TEXT_MAX];
    struct count count;
    const char *what = NULL;
    uint32_t many = 0;

    if (!has_limit(config) || is_excepted(s))
        return true;
    s->count_key = mem_format("%s:%s", s->profile->name, network_of(s, text));
    if (!count_ask(COUNT_CONNECT, slice_of(s->count_key), &count))
        return true;
    if (config->smtpd_client_connection_count_limit > 0 &&
        count.connections > config->smtpd_client_connection_count_limit) {
        what = "Connection concurrency";
        many = count.connections;
    } else if (config->smtpd_client_connection_rate_limit > 0 &&
        count.rate > config->smtpd_client_connection_rate_limit) {
        what = "Connection rate";
        many = count.rate;
    }
    if (what == NULL)
        return true;
    (void)too_many(s, what, many, s->peer.text);
    return refusal_set(no, 421, "4.7.0",
        "%s Error: too many connections from %s", config->myhostname,
        s->peer.addr);
}

void
counts_disconnect(struct session *s)
{
    if (s->count_key != NULL)
        count_tell(COUNT_DISCONNECT, slice_of(s->count_key));
    mem_free(s->count_key);
    s->count_key = NULL;
}

void
counts_again(struct session *s)
{
    if (s->count_key != NULL)
        count_tell(COUNT_AGAIN, slice_of(s->count_key));
}

/* Messages and recipients */

struct limit {
    enum count_event event;
    const char *what; /* for the log */
    const char *text; /* of the reply, in front of who it is */
    int64_t client, login, sender;
};

/* Whose events these are. */
struct culprit {
    struct slice key;
    const char *name;  /* for the log */
    const char *shown; /* in the reply */
};

static bool
check(struct session *s, const struct limit *l, int64_t most,
    const struct culprit *c, struct refusal *no)
{
    struct count count;

    if (most == 0 || !count_ask(l->event, c->key, &count) || count.rate <= most)
        return true;
    (void)too_many(s, l->what, count.rate, c->name);
    return refusal_set(no, 450, "4.7.1", "Error: %s from %s", l->text,
        c->shown);
}

static bool
check_named(struct session *s, const struct limit *l, int64_t most,
    const char *kind, struct slice who, struct refusal *no)
{
    struct buf key;
    bool ok = true;

    if (most == 0 || who.len == 0)
        return true;
    buf_init(&key, COUNT_KEY_MAX);
    make_key(&key, kind, who);
    if (!buf_failed(&key)) {
        const char *name = buf_text(&key);
        const struct culprit c = { buf_slice(&key), name,
            name + strlen(kind) + 1 };

        ok = check(s, l, most, &c, no);
    }
    buf_fini(&key);
    return ok;
}

static bool
check_all(struct session *s, const struct limit *l, struct refusal *no)
{
    const struct culprit client = { slice_of(s->count_key), s->peer.text,
        s->peer.addr };

    return (s->count_key == NULL || check(s, l, l->client, &client, no)) &&
        check_named(s, l, l->login, "login", slice_of(s->login.user), no) &&
        check_named(s, l, l->sender, "sender", s->mail.envelope.sender, no);
}

bool
counts_mail(struct session *s, struct refusal *no)
{
    const struct config *c = s->config;
    const struct limit l = {
        .event = COUNT_MAIL,
        .what = "Message delivery request rate",
        .text = "too much mail",
        .client = c->smtpd_client_message_rate_limit,
        .login = c->smtpd_login_message_rate_limit,
        .sender = c->smtpd_sender_message_rate_limit,
    };

    return check_all(s, &l, no);
}

bool
counts_auth(struct session *s, struct refusal *no)
{
    const struct limit l = {
        .event = COUNT_AUTH,
        .what = "AUTH command rate",
        .text = "too many AUTH commands",
    };
    const struct culprit client = { slice_of(s->count_key), s->peer.text,
        s->peer.addr };

    return s->count_key == NULL ||
        check(s, &l, s->config->smtpd_client_auth_rate_limit, &client, no);
}

bool
counts_rcpt(struct session *s, struct refusal *no)
{
    const struct config *c = s->config;
    const struct limit l = {
        .event = COUNT_RCPT,
        .what = "Recipient address rate",
        .text = "too many recipients",
        .client = c->smtpd_client_recipient_rate_limit,
        .login = c->smtpd_login_recipient_rate_limit,
        .sender = c->smtpd_sender_recipient_rate_limit,
    };

    return check_all(s, &l, no);
}
