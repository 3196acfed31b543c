/*
 * screen_dialogue - with clients that are not let through: as much of SMTP as it
 * takes to learn from whom and to whom they would have sent, and no mail.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/address.h"
#include "smtpd/keyword.h"
#include "smtpd/path_argument.h"
#include "smtpd/reply.h"
#include "smtpd/screen_private.h"

enum { DETAILS_MAX = 8192, FAREWELL_MS = 10 * 1000 };

static void
add_address(struct buf *to, const char *name, struct slice address)
{
    buf_add_format(to, "%s=<", name);
    address_quote(address, to);
    buf_add_text(to, ">, ");
}

void
screen_log_refusal(const struct session *s, const struct refusal *no,
    struct slice sender, struct slice recipient)
{
    char status[sizeof(no->status)];
    int code = no->code;
    struct buf details;

    memcpy(status, no->status, sizeof(status));
    reply_soften(s, &code, status);
    buf_init(&details, DETAILS_MAX);
    add_address(&details, "from", sender);
    add_address(&details, "to", recipient);
    buf_add_format(&details, "proto=%s, helo=<%s>", session_protocol(s),
        s->helo == NULL ? "" : s->helo);
    log_write(LOG_LEVEL_INFO, s->screening->screen->tag,
        "NOQUEUE: reject: RCPT from [%s]:%u: %d %s %s; %s", s->peer.addr,
        s->peer.port, code, status, no->text, buf_text(&details));
    buf_fini(&details);
}

/* What each command gets. False: that was the last one. */
typedef bool (*answer_fn)(struct session *s, struct slice args);

static bool
say_hello(struct session *s, struct slice args, bool esmtp)
{
    session_reset(s);
    mem_free(s->helo);
    s->helo = helo_clean(s, args);
    s->esmtp = esmtp;
    return true;
}

static bool
answer_helo(struct session *s, struct slice args)
{
    if (args.len == 0) {
        reply(s, 501, "Syntax: HELO hostname");
        return true;
    }
    reply(s, 250, "%s", s->config->myhostname);
    return say_hello(s, args, false);
}

static bool
answer_ehlo(struct session *s, struct slice args)
{
    if (args.len == 0) {
        reply(s, 501, "Syntax: EHLO hostname");
        return true;
    }
    keywords_announce(s);
    return say_hello(s, args, true);
}

static bool
answer_mail(struct session *s, struct slice args)
{
    struct path_argument path;

    if (s->helo == NULL && s->config->smtpd_helo_required) {
        reply(s, 503, "5.5.1 Error: send HELO/EHLO first");
    } else if (s->mail.open) {
        reply(s, 503, "5.5.1 Error: nested MAIL command");
    } else if (path_argument_parse(args, "FROM", false, &s->mail.arena,
                   &path) != PATH_FOUND) {
        reply(s, 501, "5.5.4 Syntax: MAIL FROM:<address>");
    } else {
        s->mail.envelope.sender = path.address;
        s->mail.open = true;
        reply(s, 250, "2.1.0 Ok");
    }
    return true;
}

static bool
answer_rcpt(struct session *s, struct slice args)
{
    struct path_argument path;

    if (!s->mail.open) {
        reply(s, 503, "5.5.1 Error: need MAIL command");
    } else if (path_argument_parse(args, "TO", false, &s->mail.arena, &path) !=
        PATH_FOUND) {
        reply(s, 501, "5.5.4 Syntax: RCPT TO:<address>");
    } else {
        screen_log_refusal(s, &s->screening->no, s->mail.envelope.sender,
            path.address);
        reply_refusal(s, &s->screening->no);
    }
    return true;
}

static bool
answer_data(struct session *s, struct slice args)
{
    (void)args;
    if (s->mail.open)
        reply(s, 554, "5.5.1 Error: no valid recipients");
    else
        reply(s, 503, "5.5.1 Error: need RCPT command");
    return true;
}

/* A chunk follows, which we do not want to read. */
static bool
answer_bdat(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 521, "5.5.1 Error: no valid recipients");
    return false;
}

static bool
answer_rset(struct session *s, struct slice args)
{
    (void)args;
    session_reset(s);
    reply(s, 250, "2.0.0 Ok");
    return true;
}

static bool
answer_noop(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 250, "2.0.0 Ok");
    return true;
}

static bool
answer_vrfy(struct session *s, struct slice args)
{
    if (s->config->disable_vrfy_command)
        reply(s, 502, "5.5.1 VRFY command is disabled");
    else if (args.len == 0)
        reply(s, 501, "5.5.4 Syntax: VRFY address");
    else
        reply(s, 252, "2.0.0 Cannot VRFY user, but will take messages for it");
    return true;
}

static bool
answer_quit(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 221, "2.0.0 Bye");
    return false;
}

static bool
answer_not_here(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 502, "5.5.1 Error: command not implemented");
    return true;
}

static bool
answer_unknown(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 502, "5.5.2 Error: command not recognized");
    return true;
}

static const answer_fn answers[VERB_COUNT] = {
    [VERB_HELO] = answer_helo,
    [VERB_EHLO] = answer_ehlo,
    [VERB_STARTTLS] = answer_not_here,
    [VERB_AUTH] = answer_not_here,
    [VERB_MAIL] = answer_mail,
    [VERB_RCPT] = answer_rcpt,
    [VERB_DATA] = answer_data,
    [VERB_BDAT] = answer_bdat,
    [VERB_RSET] = answer_rset,
    [VERB_NOOP] = answer_noop,
    [VERB_VRFY] = answer_vrfy,
    [VERB_ETRN] = answer_not_here,
    [VERB_HELP] = answer_unknown,
    [VERB_QUIT] = answer_quit,
    [VERB_XCLIENT] = answer_unknown,
    [VERB_XFORWARD] = answer_unknown,
    [VERB_UNKNOWN] = answer_unknown,
};

static void
log_limit(const struct session *s, const char *limit)
{
    log_write(LOG_LEVEL_INFO, s->profile->tag, "%s LIMIT from [%s]:%u after %s",
        limit, s->peer.addr, s->peer.port, s->screening->after);
}

static void
log_hangup(const struct session *s)
{
    char elapsed[DELAY_TEXT_SIZE];

    log_write(LOG_LEVEL_INFO, s->profile->tag,
        "HANGUP after %s from [%s]:%u in tests after SMTP handshake",
        screen_elapsed(s->screening, elapsed), s->peer.addr, s->peer.port);
}

/* False: there is none, and the client was told what there is to tell. */
static bool
read_line(struct session *s, struct slice *line)
{
    const struct config *c = s->config;
    int64_t deadline = clock_now_ms() + c->postscreen_command_time_limit;
    enum stream_status status = stream_flush(s->client, deadline);

    s->idle = true;
    if (status == STREAM_OK)
        status = daemon_draining()
            ? STREAM_CANCELLED
            : stream_read_line(s->client, (size_t)c->line_length_limit,
                  deadline, line);
    s->idle = false;
    switch (status) {
    case STREAM_OK:
        return true;
    case STREAM_TOO_LONG:
        log_limit(s, "COMMAND LENGTH");
        reply(s, 421, "4.7.0 %s Error: line too long", c->myhostname);
        break;
    case STREAM_TIMEOUT:
        log_limit(s, "COMMAND TIME");
        reply(s, 421, "4.4.2 %s Error: timeout exceeded", c->myhostname);
        break;
    case STREAM_CANCELLED:
        reply(s, 421, "4.3.2 %s Service not available, closing channel",
            c->myhostname);
        break;
    case STREAM_EOF:
    case STREAM_ERROR:
        log_hangup(s);
        break;
    }
    return false;
}

/* postscreen_command_filter. */
static void
filter(struct session *s, struct buf *to, struct slice *line)
{
    struct why why;

    if (s->profile->command_filter == NULL)
        return;
    switch (table_list_find(s->profile->command_filter, slice_trim(*line), to,
        &why)) {
    case TABLE_FOUND:
        *line = buf_slice(to);
        break;
    case TABLE_NOT_FOUND:
        break;
    case TABLE_ERROR:
        log_write(LOG_LEVEL_WARNING, s->profile->tag, "%s", why.text);
        break;
    }
}

/* False: that was the last one. */
static bool
answer(struct session *s, struct slice line)
{
    struct slice args;
    enum verb verb = command_parse(line, &args);

    if (screen_look(s, verb, line) != SCREEN_GO_ON)
        return false;
    if (verb == VERB_COUNT) {
        reply(s, 500, "5.5.2 Error: bad syntax");
        return true;
    }
    return answers[verb](s, args);
}

static void
converse(struct session *s, struct buf *filtered)
{
    const struct config *c = s->config;
    struct slice line;

    for (int64_t n = 0; read_line(s, &line); n++) {
        if (n >= c->postscreen_command_count_limit) {
            log_limit(s, "COMMAND COUNT");
            reply(s, 421, "4.7.0 %s Error: too many commands", c->myhostname);
            return;
        }
        filter(s, filtered, &line);
        if (!answer(s, line))
            return;
    }
}

void
screen_refuse_all(struct session *s)
{
    struct buf filtered;

    /* Since we talk with it anyway, we look. */
    s->screening->todo |= TESTS_AFTER;
    s->screening->begun_ms = clock_now_ms();
    reply(s, 220, "%s", s->config->smtpd_banner);
    buf_init(&filtered, TABLE_KEY_MAX);
    converse(s, &filtered);
    buf_fini(&filtered);
    (void)!stream_flush(s->client, clock_now_ms() + FAREWELL_MS);
}
