/*
 * check_policy - check_policy_service: what a policy server is told of the
 * session, and its answer, which is an action of access(5).
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "smtpd/access_table.h"
#include "smtpd/checks.h"
#include "smtpd/policy.h"
#include "smtpd/session.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { REQUEST_MAX = 64 * 1024, ACTION_MAX = 4096 };

/* A value is one line: no client can add attributes of its own. */
static void
put(struct buf *to, const char *name, struct slice value)
{
    buf_add_format(to, "%s=", name);
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        buf_add_octet(to, c < ' ' || c == 127 ? '?' : c);
    }
    buf_add_octet(to, '\n');
}

static void
put_text(struct buf *to, const char *name, const char *value)
{
    put(to, name, slice_of(value == NULL ? "" : value));
}

static void
put_number(struct buf *to, const char *name, uint64_t value)
{
    buf_add_format(to, "%s=%llu\n", name, (unsigned long long)value);
}

static void
put_server(const struct session *s, struct buf *to)
{
    struct sock_addr addr = { .len = sizeof(addr.u) };
    char text[SOCK_TEXT_MAX];

    if (s->peer.dest_addr[0] != '\0') { /* PROXY or XCLIENT said so */
        put_text(to, "server_address", s->peer.dest_addr);
        put_number(to, "server_port", s->peer.dest_port);
        return;
    }
    if (getsockname(stream_fd(s->client), &addr.u.any, &addr.len) < 0 ||
        addr.u.any.sa_family == AF_UNIX) {
        put_text(to, "server_address", "");
        put_text(to, "server_port", "");
        return;
    }
    put_text(to, "server_address", sock_addr_text(&addr, text));
    put_number(to, "server_port", sock_addr_port(&addr));
}

static void
put_client(const struct session *s, struct buf *to)
{
    put_text(to, "client_address", s->peer.addr);
    put_text(to, "client_name", s->peer.name);
    put_number(to, "client_port", s->peer.port);
    put_text(to, "reverse_client_name", session_reverse_name(s));
    put_server(s, to);
    put_text(to, "helo_name", s->helo);
}

/* The same through one message, another for the next. */
static void
put_instance(struct session *s, struct buf *to)
{
    static uint64_t last;

    if (s->mail.instance == 0)
        s->mail.instance = ++last;
    buf_add_format(to, "instance=%lx.%llx\n", (long)getpid(),
        (unsigned long long)s->mail.instance);
}

static void
put_message(struct session *s, struct buf *to)
{
    bool has_all = strcmp(s->where, "DATA") == 0 ||
        strcmp(s->where, "BDAT") == 0 ||
        strcmp(s->where, "END-OF-MESSAGE") == 0;
    const struct envelope *env = &s->mail.envelope;
    char id[QUEUE_ID_SIZE];

    put(to, "sender", env->sender);
    put(to, "recipient", s->recipient);
    put_number(to, "recipient_count", has_all ? env->recipient_count : 0);
    put_text(to, "queue_id", env->id == 0 ? "" : session_queue_id(s, id));
    put_instance(s, to);
    put_number(to, "size", s->mail.octets > 0 ? s->mail.octets : env->size);
    put(to, "etrn_domain", s->etrn);
}

static void
put_login(const struct session *s, struct buf *to)
{
    put_text(to, "sasl_method", s->login.method);
    put_text(to, "sasl_username", s->login.user);
    put_text(to, "sasl_sender", s->login.sender);
    put_text(to, "ccert_subject", "");
    put_text(to, "ccert_issuer", "");
    put_text(to, "ccert_fingerprint", s->tls.fingerprint);
    put_text(to, "ccert_pubkey_fingerprint", s->tls.key_fingerprint);
    put_text(to, "encryption_protocol", "");
    put_text(to, "encryption_cipher", "");
    put_text(to, "encryption_keysize", s->tls.on ? "" : "0");
}

static void
put_request(struct session *s, const struct policy *policy, struct buf *to)
{
    put_text(to, "request", "smtpd_access_policy");
    put_text(to, "protocol_state", s->where);
    put_text(to, "protocol_name", session_protocol(s));
    put_client(s, to);
    put_message(s, to);
    put_text(to, "policy_context", policy_context(policy));
    put_login(s, to);
    put_text(to, "stress", s->config->stress);
    put_text(to, "compatibility_level", s->config->compatibility_level);
    put_text(to, "mail_version", s->config->mail_version);
    buf_add_octet(to, '\n');
}

CHECK_FN(check_policy_service)
{
    struct access a = { .e = e, .check = c, .subject = e->subject };
    struct buf request, action;
    enum verdict verdict;
    struct why why;

    buf_init(&request, REQUEST_MAX);
    buf_init(&action, ACTION_MAX);
    put_request(e->s, c->policy, &request);
    if (buf_failed(&request))
        (void)why_temp(&why, "4.3.0", "request is too long");
    if (buf_failed(&request) ||
        policy_ask(c->policy, buf_slice(&request), &action, &why) !=
            RESULT_OK) {
        log_write(LOG_LEVEL_WARNING, e->s->profile->tag,
            "problem talking to server %s: %s", policy_name(c->policy),
            why.text);
        buf_clear(&action);
        buf_add_text(&action, policy_default_action(c->policy));
    }
    verdict = access_act(&a, SLICE_LIT("policy query"), buf_slice(&action));
    buf_fini(&request);
    buf_fini(&action);
    return verdict;
}
