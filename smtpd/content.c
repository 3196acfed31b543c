#include "smtpd/content.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "smtpd/access.h"
#include "smtpd/received.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

enum { RECEIVED_MAX = 8192 };

/* PREPEND, in the order of the tables. */
static void
prepend_headers(struct session *s)
{
    for (const struct session_text *t = s->mail.actions.prepend; t != NULL;
         t = t->next) {
        struct buf line;

        buf_init(&line, t->text.len + 2);
        buf_add(&line, t->text);
        buf_add_text(&line, "\r\n");
        cleanup_prepend(s->mail.cleanup, buf_slice(&line));
        buf_fini(&line);
    }
}

/* For those behind us: what a filter forwards, else what we see ourselves. */
static void
describe_client(struct session *s, struct envelope *env)
{
    const struct forwarded *f = &s->mail.forwarded;

    env->sasl_user = slice_of(s->login.user);
    if (f->given) {
        env->client_name = f->name;
        env->client_addr = f->addr;
        env->client_port = f->port;
        env->helo = f->helo;
        env->protocol = f->proto;
        return;
    }
    env->client_name = slice_of(s->peer.name);
    env->client_addr = slice_of(s->peer.addr);
    if (s->peer.port != 0) {
        struct buf port;

        buf_init(&port, 8);
        buf_add_format(&port, "%u", s->peer.port);
        (void)!arena_slice(&s->mail.arena, buf_slice(&port), &env->client_port);
        buf_fini(&port);
    }
    env->helo = slice_of(s->helo);
    env->protocol = slice_of(session_protocol(s));
}

static enum result
begin_content(struct session *s, struct why *why)
{
    struct envelope *env = &s->mail.envelope;
    const struct cleanup_options options = {
        .set = s->set,
        .service = s->config->cleanup_service_name,
        .own_client = s->own_client,
    };
    struct buf received;
    enum result res;

    describe_client(s, env);
    res = cleanup_begin(&options, env, &s->mail.arena, &s->mail.cleanup, why);
    if (res != RESULT_OK)
        return res;
    /* As Postfix has it: what access tables add stands above Received:. */
    prepend_headers(s);
    buf_init(&received, RECEIVED_MAX);
    received_header(s, &received);
    cleanup_prepend(s->mail.cleanup, buf_slice(&received));
    buf_fini(&received);
    return RESULT_OK;
}

bool
content_begin(struct session *s, struct refusal *no)
{
    char id[QUEUE_ID_SIZE];
    struct why why;

    if (begin_content(s, &why) == RESULT_OK)
        return true;
    log_write(LOG_LEVEL_WARNING, s->profile->tag, "%s: %s",
        session_queue_id(s, id), why.text);
    return refusal_set(no, 451, "4.3.0", "Error: queue file write error");
}

/* REDIRECT and BCC: as if the client had given other recipients. */
static bool
change_recipients(struct session *s)
{
    const struct actions *actions = &s->mail.actions;
    struct envelope *env = &s->mail.envelope;
    struct why why;

    if (actions->redirect.len > 0) {
        const struct recipient to = {
            .address = actions->redirect,
            .original = env->recipients[0].address,
        };

        env->recipient_count = 0;
        if (envelope_add_recipient(env, &s->mail.arena, &to, &why) != RESULT_OK)
            return false;
    }
    for (const struct session_text *t = actions->bcc; t != NULL; t = t->next) {
        const struct recipient to = {
            .address = t->text,
            .notify = NOTIFY_NEVER,
        };

        if (envelope_add_recipient(env, &s->mail.arena, &to, &why) != RESULT_OK)
            return false;
    }
    return true;
}

/* What access tables asked for, the last of them after the final dot. */
static bool
apply_actions(struct session *s, struct refusal *no)
{
    struct envelope *env = &s->mail.envelope;

    if (s->mail.actions.hold)
        env->flags |= ENVELOPE_HOLD;
    if (s->mail.actions.filter.len > 0)
        env->filter = s->mail.actions.filter;
    if (!change_recipients(s))
        return refusal_set(no, 452, "4.3.1", "Insufficient system storage");
    cleanup_amend(s->mail.cleanup, env);
    return true;
}

void
content_take(struct session *s, struct slice run)
{
    int64_t limit = s->config->message_size_limit;

    s->mail.octets += run.len;
    if (s->mail.cleanup != NULL &&
        (limit == 0 || s->mail.octets <= (uint64_t)limit))
        cleanup_content(s->mail.cleanup, run);
}

/* Pace */

void
pace_begin(const struct session *s, struct pace *p)
{
    p->left_ms = s->config->smtpd_timeout;
}

enum stream_status
pace_peek(const struct session *s, struct pace *p, struct slice *in)
{
    int64_t begun = clock_now_ms();
    bool strict = s->config->smtpd_per_request_deadline;
    int64_t wait = strict ? p->left_ms : s->config->smtpd_timeout;
    enum stream_status status = STREAM_OK;

    /* What was said so far may be what the client waits for. */
    if (stream_buffered(s->client) == 0)
        status = stream_flush(s->client, begun + wait);
    if (status == STREAM_OK)
        status = stream_peek(s->client, begun + wait, in);
    p->left_ms -= clock_now_ms() - begun;
    return status;
}

void
pace_took(const struct session *s, struct pace *p, size_t octets)
{
    int64_t most = s->config->smtpd_timeout;

    p->left_ms += (int64_t)octets * 1000 / s->config->smtpd_min_data_rate;
    if (p->left_ms > most)
        p->left_ms = most;
}

/* The end */

/* There was a bare LF, and the client is none that may. */
bool
content_allow_lines(struct session *s, const struct unstuff *u,
    struct refusal *no)
{
    bool rejects = s->profile->bare_newline == BARE_NEWLINE_REJECT;

    if (!u->bare_lf || s->trusted_lines)
        return true;
    if (!rejects && s->profile->bare_newline != BARE_NEWLINE_NOTE)
        return true;
    session_log_access(s, rejects ? "reject" : "note", "bare <LF> received");
    (void)refusal_set(no, (int)s->config->smtpd_forbid_bare_newline_reject_code,
        "5.5.2", "%s Error: bare <LF> received", s->config->myhostname);
    return !rejects;
}

/* What can be said about the content before clean-up ends. */
static bool
check_content(struct session *s, const struct unstuff *u, struct refusal *no)
{
    int64_t limit = s->config->message_size_limit;

    if (!content_allow_lines(s, u, no))
        return false;
    if (limit > 0 && s->mail.octets > (uint64_t)limit) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "%s: queue file size limit exceeded",
            session_queue_id(s, (char[QUEUE_ID_SIZE]){ 0 }));
        return refusal_set(no, 552, "5.3.4", "Error: message file too big");
    }
    return access_end_of_data(s, no);
}

static bool
submit(struct session *s, struct refusal *no)
{
    struct cleanup *cleanup = s->mail.cleanup;
    enum result res;
    struct why why;
    int code;

    if (!s->mail.actions.discard && !apply_actions(s, no))
        return false;
    s->mail.cleanup = NULL;
    if (s->mail.actions.discard) {
        cleanup_abort(cleanup);
        return true;
    }
    res = cleanup_end(cleanup, clock_now_ms() + SUBMIT_WAIT_MS, &why);
    if (res == RESULT_OK)
        return true;
    code = cleanup_reply_code(res, &why);
    if (code == 452)
        return refusal_set(no, code, "4.3.1", "Insufficient system storage");
    /* What is wrong with our system (RFC 3463 class x.3) is for our log. */
    if (code == 451 && strncmp(why.status, "4.3.", 4) == 0) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag, "%s: %s",
            session_queue_id(s, (char[QUEUE_ID_SIZE]){ 0 }), why.text);
        return refusal_set(no, code, why.status,
            "Error: queue file write error");
    }
    return refusal_set(no, code, why.status, "%s", why.text);
}

enum command_result
content_end(struct session *s, const struct unstuff *u, const char *said)
{
    char id[QUEUE_ID_SIZE];
    struct refusal no;

    s->where = "END-OF-MESSAGE";
    if (!check_content(s, u, &no) || !submit(s, &no)) {
        reply_refusal(s, &no);
        return COMMAND_BAD;
    }
    reply(s, 250, "2.0.0 Ok: %squeued as %s", said, session_queue_id(s, id));
    s->errors = 0;
    s->junk = 0;
    return COMMAND_GOOD;
}

enum command_result
content_result(enum stream_status status)
{
    switch (status) {
    case STREAM_OK:
        return COMMAND_GOOD;
    case STREAM_TIMEOUT:
        return COMMAND_LATE;
    case STREAM_CANCELLED:
        return COMMAND_CUT;
    case STREAM_TOO_LONG:
    case STREAM_EOF:
    case STREAM_ERROR:
        break;
    }
    return COMMAND_LEFT;
}
