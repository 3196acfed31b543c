/*
 * rcpt - RCPT TO: the recipients of a transaction. The first one that is
 * accepted gives it its queue id.
 */
#include "lib/base/clock.h"
#include "lib/mail/rewrite.h"
#include "lib/mail/verify_sender.h"
#include "smtpd/access.h"
#include "smtpd/counts.h"
#include "smtpd/envelope_path.h"
#include "smtpd/esmtp.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

enum {
    COMMAND_MAX = 1024 * 1024, /* octets that a command may take */
};

static bool
parse(struct session *s, struct slice args, struct arena *arena,
    struct rcpt_parameters *parameters, struct refusal *no)
{
    struct path_argument path;

    if (!envelope_path_take(s, PATH_RECIPIENT, args, arena, &path, no))
        return false;
    s->recipient = path.address;
    return rcpt_parameters_parse(path.parameters, session_features(s), arena,
               parameters, no) &&
        session_allows_address(s, path.address, no);
}

/*
 * smtpd_recipient_limit. A client that goes on far beyond it does not listen:
 * from smtpd_recipient_overshoot_limit on that counts as an error.
 */
static bool
is_over_limit(struct session *s, enum command_result *result)
{
    if ((int64_t)s->mail.envelope.recipient_count <
        s->config->smtpd_recipient_limit)
        return false;
    *result = ++s->mail.excess > s->config->smtpd_recipient_overshoot_limit
        ? COMMAND_BAD
        : COMMAND_REFUSED;
    return true;
}

static bool
rewrite_recipient(struct session *s, struct arena *arena, struct refusal *no)
{
    struct why why;

    if (rewrite_address(s->profile->rewrite, REWRITE_LOCAL, s->recipient, arena,
            &s->recipient_rewritten, &why) == RESULT_OK)
        return true;
    return refusal_set(no, 451, why.status, "%s", why.text);
}

/*
 * Whoever verifies the sender of our probes is to find it good, whatever else we
 * have against him: else both sides take the other's addresses for bad.
 */
static bool
is_probe_sender(struct session *s, struct arena *arena)
{
    struct slice plain;

    if (!verify_sender_is(s->config, s->profile->rewrite,
            s->recipient_rewritten, clock_wall_s(), arena, &plain))
        return false;
    s->recipient = plain;
    return true;
}

static bool
add_recipient(struct session *s, const struct rcpt_parameters *parameters,
    struct refusal *no)
{
    struct recipient r = {
        .address = s->recipient,
        .orcpt = parameters->orcpt,
        .notify = parameters->notify,
    };
    struct why why;

    if (envelope_add_recipient(&s->mail.envelope, &s->mail.arena, &r, &why) ==
        RESULT_OK)
        return true;
    return refusal_set(no, 452, "4.3.1", "Insufficient system storage");
}

static enum command_result
refused(struct session *s, const struct refusal *no)
{
    reply_refusal(s, no);
    return COMMAND_BAD;
}

/* arena has what is of no use after the command. */
static enum command_result
take_recipient(struct session *s, struct slice args, struct arena *arena)
{
    struct rcpt_parameters parameters;
    enum command_result result;
    struct refusal no;

    if (!parse(s, args, arena, &parameters, &no) || !counts_rcpt(s, &no))
        return refused(s, &no);
    if (is_over_limit(s, &result)) {
        reply(s, 452, "4.5.3 Error: too many recipients");
        return result;
    }
    if (!rewrite_recipient(s, arena, &no) ||
        (!is_probe_sender(s, arena) && !access_recipient(s, &no)) ||
        !session_open_message(s, &no) || !add_recipient(s, &parameters, &no))
        return refused(s, &no);
    reply(s, 250, "2.1.5 Ok");
    return COMMAND_GOOD;
}

enum command_result
command_rcpt(struct session *s, struct slice args)
{
    enum command_result result;
    struct arena arena;

    if (!s->mail.open) {
        reply(s, 503, "5.5.1 Error: need MAIL command");
        return COMMAND_BAD;
    }
    if (s->mail.chunks != CHUNKS_NONE) {
        reply(s, 503, "5.5.1 Error: RCPT after BDAT");
        return COMMAND_BAD;
    }
    arena_init(&arena, COMMAND_MAX);
    result = take_recipient(s, args, &arena);
    s->recipient = s->recipient_rewritten = (struct slice){ NULL, 0 };
    arena_clear(&arena);
    return result;
}
