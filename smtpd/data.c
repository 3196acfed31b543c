/*
 * data - DATA: the content of a message, and the moment when it becomes ours.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "smtpd/access.h"
#include "smtpd/received.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"
#include "smtpd/unstuff.h"

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

    env->client_name = slice_of(s->peer.name);
    env->client_addr = slice_of(s->peer.addr);
    env->helo = slice_of(s->helo);
    env->protocol = slice_of(session_protocol(s));
    res = cleanup_begin(&options, env, &s->mail.arena, &s->mail.cleanup, why);
    if (res != RESULT_OK)
        return res;
    buf_init(&received, RECEIVED_MAX);
    received_header(s, &received);
    cleanup_prepend(s->mail.cleanup, buf_slice(&received));
    buf_fini(&received);
    prepend_headers(s);
    return RESULT_OK;
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

static void
take_piece(struct session *s, struct slice run)
{
    int64_t limit = s->config->message_size_limit;

    s->mail.octets += run.len;
    if (s->mail.cleanup != NULL &&
        (limit == 0 || s->mail.octets <= (uint64_t)limit))
        cleanup_content(s->mail.cleanup, run);
}

/*
 * Read up to the final dot, whatever becomes of the message: the rest of it
 * would be taken for commands. STREAM_OK: it was there.
 */
static enum stream_status
read_content(struct session *s, struct unstuff *u)
{
    for (;;) {
        struct slice in, rest, run;
        enum stream_status status = stream_peek(s->client,
            clock_now_ms() + s->config->smtpd_timeout, &in);
        enum unstuff_step step;

        if (status != STREAM_OK)
            return status;
        rest = in;
        while ((step = unstuff_next(u, &rest, &run)) == UNSTUFF_RUN)
            take_piece(s, run);
        stream_consume(s->client, in.len - rest.len);
        if (step == UNSTUFF_END)
            return STREAM_OK;
    }
}

static enum unstuff_mode
mode_of(const struct session *s)
{
    return s->profile->bare_newline == BARE_NEWLINE_ALLOW || s->trusted_lines
        ? UNSTUFF_LENIENT
        : UNSTUFF_STRICT;
}

/* There was a bare LF, and the client is none that may. */
static bool
allow_bare_lf(struct session *s, struct refusal *no)
{
    bool rejects = s->profile->bare_newline == BARE_NEWLINE_REJECT;

    if (!rejects && s->profile->bare_newline != BARE_NEWLINE_NOTE)
        return true;
    (void)refusal_set(no, (int)s->config->smtpd_forbid_bare_newline_reject_code,
        "5.5.2", "%s Error: bare <LF> received", s->config->myhostname);
    session_log_refusal(s, rejects ? "reject" : "note", no);
    return !rejects;
}

/* What can be said about the content before clean-up ends. */
static bool
check_content(struct session *s, const struct unstuff *u, struct refusal *no)
{
    int64_t limit = s->config->message_size_limit;

    if (u->bare_lf && !s->trusted_lines && !allow_bare_lf(s, no))
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

/* The client has sent it all: the 250 makes it ours. */
static enum command_result
end_content(struct session *s, const struct unstuff *u)
{
    char id[QUEUE_ID_SIZE];
    struct refusal no;

    s->where = "END-OF-MESSAGE";
    if (!check_content(s, u, &no) || !submit(s, &no)) {
        reply_refusal(s, &no);
        return COMMAND_BAD;
    }
    reply(s, 250, "2.0.0 Ok: queued as %s", session_queue_id(s, id));
    s->errors = 0;
    s->junk = 0;
    return COMMAND_GOOD;
}

static enum command_result
transfer(struct session *s)
{
    int64_t deadline = clock_now_ms() + s->config->smtpd_timeout;
    struct unstuff u;

    reply(s, 354, "End data with <CR><LF>.<CR><LF>");
    if (stream_flush(s->client, deadline) != STREAM_OK)
        return COMMAND_LEFT;
    unstuff_init(&u, mode_of(s));
    switch (read_content(s, &u)) {
    case STREAM_OK:
        return end_content(s, &u);
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

static bool
is_ready(struct session *s, struct slice args, struct refusal *no)
{
    if (s->mail.envelope.recipient_count == 0)
        return s->mail.open
            ? refusal_set(no, 554, "5.5.1", "Error: no valid recipients")
            : refusal_set(no, 503, "5.5.1", "Error: need RCPT command");
    if (args.len > 0)
        return refusal_set(no, 501, "5.5.4", "Syntax: DATA");
    return access_data(s, no);
}

enum command_result
command_data(struct session *s, struct slice args)
{
    enum command_result result;
    struct refusal no;
    struct why why;

    if (!is_ready(s, args, &no)) {
        reply_refusal(s, &no);
        return COMMAND_BAD;
    }
    if (begin_content(s, &why) != RESULT_OK) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag, "%s", why.text);
        reply(s, 451, "4.3.0 Error: queue file write error");
        return COMMAND_BAD;
    }
    result = transfer(s);
    if (result == COMMAND_GOOD || result == COMMAND_BAD)
        session_reset(s);
    return result;
}
