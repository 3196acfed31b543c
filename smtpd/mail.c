/*
 * mail - MAIL FROM: a transaction begins.
 */
#include "lib/base/clock.h"
#include "lib/mail/login_sender.h"
#include "lib/mail/rewrite.h"
#include "smtpd/access.h"
#include "smtpd/counts.h"
#include "smtpd/envelope_path.h"
#include "smtpd/esmtp.h"
#include "smtpd/reply.h"
#include "smtpd/room.h"
#include "smtpd/session.h"

static bool
parse(struct session *s, struct slice args, struct mail_parameters *parameters,
    struct refusal *no)
{
    struct transaction *t = &s->mail;
    struct path_argument path;

    if (!envelope_path_take(s, PATH_SENDER, args, &t->arena, &path, no))
        return false;
    t->envelope.sender = path.address;
    if (!mail_parameters_parse(path.parameters, session_features(s), &t->arena,
            parameters, no))
        return false;
    t->envelope.size = parameters->size; /* what it is to be: for policies */
    t->utf8 = parameters->utf8;
    t->binary = parameters->binary;
    return session_allows_address(s, path.address, no);
}

/* SIZE= (RFC 1870 section 6.1), and room for any message at all. */
static bool
check_size(struct session *s, uint64_t size, struct refusal *no)
{
    int64_t limit = s->config->message_size_limit;
    bool ok = true;

    if (limit > 0 && size > (uint64_t)limit)
        ok = refusal_set(no, 552, "5.3.4", "Message size exceeds fixed limit");
    else if (!room_for_message(s->config, size))
        ok = refusal_set(no, 452, "4.3.1", "Insufficient system storage");
    if (!ok)
        session_log_refusal(s, "reject", no);
    return ok;
}

static bool
rewrite_sender(struct session *s, struct refusal *no)
{
    struct why why;

    if (rewrite_address(s->profile->rewrite, REWRITE_LOCAL,
            s->mail.envelope.sender, &s->mail.arena, &s->mail.sender_rewritten,
            &why) == RESULT_OK)
        return true;
    return refusal_set(no, 451, why.status, "%s", why.text);
}

/* sendmail -bs: local_login_sender_maps hold for it, too. */
static bool
may_use_sender(struct session *s, struct refusal *no)
{
    struct why why;
    uid_t uid;
    gid_t gid;
    pid_t pid;

    if (!s->profile->stand_alone)
        return true;
    if (!sock_peer_cred(stream_fd(s->client), &uid, &gid, &pid))
        return refusal_set(no, 451, "4.3.0", "Error: who are you?");
    switch (login_sender_check(config_main(s->set), uid,
        s->mail.envelope.sender, &why)) {
    case RESULT_OK:
        return true;
    case RESULT_TEMPFAIL:
        return refusal_set(no, 451, "4.3.0", "Temporary lookup failure");
    case RESULT_PERMFAIL:
        break;
    }
    return refusal_set(no, 553, why.status, "%s", why.text);
}

static void
fill_envelope(struct session *s, const struct mail_parameters *parameters)
{
    struct envelope *env = &s->mail.envelope;

    env->arrival_us = clock_wall_us();
    env->flags = s->profile->overrides |
        (parameters->eight_bit || parameters->binary ? ENVELOPE_8BIT : 0U) |
        (parameters->utf8 || esmtp_autodetects_utf8(s->config, "smtpd")
                ? ENVELOPE_UTF8
                : 0U) |
        (s->profile->stand_alone ? ENVELOPE_LOCAL : 0U);
    env->ret = parameters->ret;
    env->envid = parameters->envid;
}

enum command_result
command_mail(struct session *s, struct slice args)
{
    struct mail_parameters parameters;
    struct refusal no;

    if (s->mail.open) {
        reply(s, 503, "5.5.1 Error: nested MAIL command");
        return COMMAND_BAD;
    }
    s->mail.open = true; /* the log of a refusal names the sender */
    if (!parse(s, args, &parameters, &no) || !counts_mail(s, &no) ||
        !check_size(s, parameters.size, &no) || !rewrite_sender(s, &no) ||
        !may_use_sender(s, &no) || !access_sender(s, &no)) {
        session_reset(s);
        reply_refusal(s, &no);
        return COMMAND_BAD;
    }
    room_pause(s->set, s->config->cleanup_service_name);
    fill_envelope(s, &parameters);
    if (!s->config->smtpd_delay_open_until_valid_rcpt &&
        !session_open_message(s, &no)) {
        session_reset(s);
        reply_refusal(s, &no);
        return COMMAND_BAD;
    }
    reply(s, 250, "2.1.0 Ok");
    return COMMAND_GOOD;
}
