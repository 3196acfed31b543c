/*
 * inquiry - the verbs that move no mail: RSET, NOOP, VRFY, ETRN, HELP, QUIT.
 */
#include "lib/base/log.h"
#include "lib/mail/rewrite.h"
#include "smtpd/access.h"
#include "smtpd/esmtp.h"
#include "smtpd/path_argument.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

enum { VRFY_MAX = 256 * 1024 }; /* octets that the checks of one may keep */

enum command_result
command_rset(struct session *s, struct slice args)
{
    if (args.len > 0) {
        reply(s, 501, "5.5.4 Syntax: RSET");
        return COMMAND_BAD;
    }
    session_reset(s);
    reply(s, 250, "2.0.0 Ok");
    return COMMAND_GOOD;
}

enum command_result
command_noop(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 250, "2.0.0 Ok");
    return COMMAND_GOOD;
}

/* The restrictions of a recipient decide. */
static enum command_result
verify(struct session *s, struct slice args)
{
    struct refusal no;
    struct why why;
    bool ok;

    if (path_address_parse(args, false, &s->mail.arena, &s->recipient) !=
            PATH_FOUND ||
        s->recipient.len == 0) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "Illegal address syntax from %s in VRFY command: " SLICE_FMT,
            s->peer.text, SLICE_ARG(args));
        reply(s, 501, "5.1.3 Bad recipient address syntax");
        return COMMAND_BAD;
    }
    ok = rewrite_address(s->profile->rewrite, REWRITE_LOCAL, s->recipient,
             &s->mail.arena, &s->recipient_rewritten, &why) == RESULT_OK;
    if (!ok)
        (void)refusal_set(&no, 451, why.status, "%s", why.text);
    if (!ok || !access_verify(s, &no)) {
        reply_refusal(s, &no);
        return COMMAND_BAD;
    }
    reply(s, 252, "2.0.0 " SLICE_FMT, SLICE_ARG(args));
    return COMMAND_GOOD;
}

/* "address SMTPUTF8" (RFC 6531 section 3.7.4.2). False: it is missing. */
static bool
take_smtputf8(const struct session *s, struct slice *args)
{
    const struct slice word = SLICE_LIT(" SMTPUTF8");
    bool given = s->config->smtputf8_enable && slice_ends_nocase(*args, word);

    if (given)
        *args = slice_trim(slice_head(*args, args->len - word.len));
    return given || !s->config->smtputf8_enable ||
        !s->config->strict_smtputf8 || slice_is_ascii(*args);
}

enum command_result
command_vrfy(struct session *s, struct slice args)
{
    struct arena arena = s->mail.arena;
    struct actions actions = s->mail.actions;
    uint64_t instance = s->mail.instance;
    enum command_result result;

    if (s->config->disable_vrfy_command) {
        reply(s, 502, "5.5.1 VRFY command is disabled");
        return COMMAND_BAD;
    }
    if (args.len == 0) {
        reply(s, 501, "5.5.4 Syntax: VRFY address%s",
            s->config->smtputf8_enable ? " [SMTPUTF8]" : "");
        return COMMAND_BAD;
    }
    if (!take_smtputf8(s, &args)) {
        reply(s, 553, "5.6.7 Must declare SMTPUTF8 to send unicode address");
        return COMMAND_BAD;
    }
    /*
     * What checks keep is this command's own: a transaction that is under way
     * does not grow by it, and is not held or filtered for another's sake.
     */
    arena_init(&s->mail.arena, VRFY_MAX);
    result = verify(s, args);
    s->recipient = s->recipient_rewritten = SLICE_LIT("");
    arena_clear(&s->mail.arena);
    s->mail.arena = arena;
    s->mail.actions = actions;
    if (!s->mail.open)
        s->mail.instance = instance;
    return result;
}

enum command_result
command_help(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 214,
        "2.0.0 Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP VRFY ETRN HELP "
        "QUIT");
    return COMMAND_GOOD;
}

enum command_result
command_quit(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 221, "2.0.0 Bye");
    return COMMAND_GOOD;
}
