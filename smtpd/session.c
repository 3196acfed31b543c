#include "smtpd/session.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/printable.h"
#include "lib/mail/address.h"
#include "smtpd/access.h"
#include "smtpd/answers.h"
#include "smtpd/esmtp.h"
#include "smtpd/keyword.h"
#include "smtpd/peer.h"
#include "smtpd/reply.h"

#include <stdio.h>

enum { CLIENT_SHOWN = 2048 };

/* "client=..., orig_queue_id=..., orig_client=..., sasl_username=..." */
static void
log_client(const struct session *s)
{
    const struct forwarded *f = &s->mail.forwarded;
    char id[QUEUE_ID_SIZE];
    struct buf text;

    buf_init(&text, CLIENT_SHOWN);
    if (s->login.method != NULL)
        buf_add_format(&text, ", sasl_method=%s", s->login.method);
    if (s->login.user != NULL)
        buf_add_format(&text, ", sasl_username=%s", s->login.user);
    if (f->ident.len > 0)
        buf_add_format(&text, ", orig_queue_id=" SLICE_FMT,
            SLICE_ARG(f->ident));
    if (f->given && f->addr.len > 0)
        buf_add_format(&text, ", orig_client=" SLICE_FMT "[" SLICE_FMT "]",
            SLICE_ARG(f->name.len > 0 ? f->name : SLICE_LIT("unknown")),
            SLICE_ARG(f->addr));
    log_write(LOG_LEVEL_INFO, s->profile->tag, "%s: client=%s%s",
        session_queue_id(s, id), s->peer.text, buf_text(&text));
    buf_fini(&text);
}

bool
session_open_message(struct session *s, struct refusal *no)
{
    struct envelope *env = &s->mail.envelope;
    struct why why;

    if (env->id != 0)
        return true;
    if (submission_next_id(clock_now_ms() + LEASE_WAIT_MS, &env->id, &why) !=
        RESULT_OK) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "no queue id for a message from %s: %s", s->peer.text, why.text);
        return refusal_set(no, 451, "4.3.0", "Error: queue file write error");
    }
    log_client(s);
    return true;
}

/* What all messages that are coming in take together. */
static struct arena_pool transactions = { .ceiling = TRANSACTIONS_MAX };

void
session_reset(struct session *s)
{
    cleanup_abort(s->mail.cleanup);
    mime_convert_free(s->mail.converter);
    arena_clear(&s->mail.arena);
    s->mail = (struct transaction){ .open = false };
    arena_init_in(&s->mail.arena,
        TRANSACTION_MAX +
            TRANSACTION_RCPT * (size_t)s->config->smtpd_recipient_limit,
        &transactions);
    s->recipient = s->recipient_rewritten = (struct slice){ NULL, 0 };
}

const char *
session_protocol(const struct session *s)
{
    return s->esmtp ? "ESMTP" : "SMTP";
}

unsigned
session_features(const struct session *s)
{
    return (keyword_is_discarded(s, KEYWORD_DSN) ? 0U : ESMTP_DSN) |
        (keyword_is_discarded(s, KEYWORD_BINARYMIME) ? 0U : ESMTP_BINARYMIME) |
        (s->config->smtputf8_enable &&
                    !keyword_is_discarded(s, KEYWORD_SMTPUTF8)
                ? ESMTP_SMTPUTF8
                : 0U);
}

bool
session_allows_address(const struct session *s, struct slice address,
    struct refusal *no)
{
    return !s->config->smtputf8_enable || !s->config->strict_smtputf8 ||
        s->mail.utf8 || slice_is_ascii(address) ||
        refusal_set(no, 553, "5.6.7",
            "Must declare SMTPUTF8 to send unicode address");
}

const char *
session_reverse_name(const struct session *s)
{
    return s->peer.reverse_name == NULL ? s->peer.name : s->peer.reverse_name;
}

const char *
session_queue_id(const struct session *s, char text[QUEUE_ID_SIZE])
{
    return s->mail.envelope.id == 0
        ? "NOQUEUE"
        : queue_id_text(s->mail.envelope.id, s->profile->long_ids, text);
}

static void
add_address(const struct session *s, struct buf *to, const char *name,
    struct slice address)
{
    struct buf held = { 0 };

    address = address_for_log(s->config, address, &held);
    buf_add_format(to, " %s=<" SLICE_FMT ">", name, SLICE_ARG(address));
    buf_fini(&held);
}

void
session_log_access(const struct session *s, const char *verb, const char *text)
{
    enum { DETAILS_MAX = 8192 };
    char id[QUEUE_ID_SIZE];
    const struct envelope *env = &s->mail.envelope;
    struct slice to = s->recipient;
    struct buf details;

    buf_init(&details, DETAILS_MAX);
    if (s->mail.open)
        add_address(s, &details, "from", env->sender);
    if (to.len == 0 && env->recipient_count > 0 && !s->no_recipient)
        to = env->recipients[0].address;
    if (to.len > 0)
        add_address(s, &details, "to", to);
    buf_add_format(&details, " proto=%s", session_protocol(s));
    if (s->helo != NULL)
        buf_add_format(&details, " helo=<%s>", s->helo);
    log_write(LOG_LEVEL_INFO, s->profile->tag, "%s: %s: %s from %s: %s;%s",
        session_queue_id(s, id), verb, s->where, s->peer.text, text,
        buf_text(&details));
    buf_fini(&details);
}

void
session_log_refusal(const struct session *s, const char *verb,
    const struct refusal *no)
{
    char status[sizeof(no->status)], text[sizeof(no->text) + 32];
    int code = no->code;

    memcpy(status, no->status, sizeof(status));
    reply_soften(s, &code, status);
    (void)snprintf(text, sizeof(text), "%d %s %s", code, status, no->text);
    session_log_access(s, verb, text);
}

void
session_show(struct session *s)
{
    if (s->unseen)
        log_write(LOG_LEVEL_INFO, s->profile->tag, "connect from %s",
            s->peer.text);
    s->unseen = false;
}

static void
forget_verdicts(struct session *s)
{
    answers_free(s);
    for (size_t i = 0; i < sizeof(s->put_off) / sizeof(s->put_off[0]); i++) {
        mem_free(s->put_off[i]);
        s->put_off[i] = NULL;
    }
    s->denied = false;
}

void
session_forget(struct session *s)
{
    session_reset(s);
    forget_verdicts(s);
    login_forget(&s->login);
    mem_free(s->helo);
    mem_free(s->peer.name);
    mem_free(s->peer.reverse_name);
    mem_free(s->peer.text);
}

static bool
is_listed_host(const struct session *s, struct match_list *list)
{
    struct why why;

    return match_list_find_host(list, slice_of(s->peer.name),
               slice_of(s->peer.addr), &why) == TABLE_FOUND;
}

void
session_note_rights(struct session *s)
{
    const struct profile *p = s->profile;

    s->may_xclient = !p->stand_alone && is_listed_host(s, p->xclient_hosts);
    s->may_xforward = !p->stand_alone && is_listed_host(s, p->xforward_hosts);
}

void
session_begin(struct session *s)
{
    const struct profile *p = s->profile;
    struct refusal no;

    forget_verdicts(s);
    s->where = "CONNECT";
    s->trusted_lines = p->bare_newline != BARE_NEWLINE_ALLOW &&
        is_listed_host(s, p->bare_newline_exclusions);
    s->own_client = p->stand_alone || access_rewrites_headers(s);
    keywords_choose(s);
    if (access_client(s, &no)) {
        reply(s, 220, "%s", s->config->smtpd_banner);
    } else {
        s->denied = true;
        reply_refusal(s, &no);
    }
}
