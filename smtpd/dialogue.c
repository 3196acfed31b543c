#include "smtpd/dialogue.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/printable.h"
#include "lib/daemon/daemon.h"
#include "smtpd/counts.h"
#include "smtpd/reply.h"
#include "smtpd/screen.h"

#include <string.h>

enum {
    FAREWELL_MS = 10 * 1000, /* to say a last word to who may not listen */
    FORBIDDEN_SHOWN = 100,   /* octets of it in the log */
    AHEAD_SHOWN = 100,
    TRIM_AFTER_MS = 5 * 1000,
    COMMANDS_A_TURN = 20, /* sent ahead; then other sessions get their turn */
};

/*
 * RFC 2920 section 3.2: replies may wait for as long as there are commands that
 * were sent along with it.
 */
static bool
has_whole_line(struct session *s)
{
    struct slice in;

    return stream_buffered(s->client) > 0 &&
        stream_peek(s->client, 0, &in) == STREAM_OK &&
        slice_find(in, '\n') < in.len;
}

/*
 * Many clients are idle for long: what their last transaction used of the stack
 * then goes back to the kernel.
 */
static enum stream_status
wait_for_line(struct session *s, int64_t deadline, struct slice *line)
{
    size_t max = (size_t)s->config->line_length_limit;
    int64_t long_ago = clock_now_ms() + TRIM_AFTER_MS;
    enum stream_status status = STREAM_TIMEOUT;

    if (long_ago < deadline)
        status = stream_read_line(s->client, max, long_ago, line);
    if (status != STREAM_TIMEOUT)
        return status;
    fiber_trim_stack();
    return stream_read_line(s->client, max, deadline, line);
}

static enum stream_status
read_command(struct session *s, struct slice *line)
{
    int64_t deadline = clock_now_ms() + s->config->smtpd_timeout;
    enum stream_status status = STREAM_OK;

    if (has_whole_line(s)) {
        if (++s->in_a_row % COMMANDS_A_TURN == 0)
            fiber_yield();
    } else {
        status = stream_flush(s->client, deadline);
        if (daemon_draining())
            return STREAM_CANCELLED;
    }
    if (status != STREAM_OK)
        return status;
    s->idle = true;
    status = wait_for_line(s, deadline, line);
    s->idle = false;
    return status;
}

/* Those that the restrictions turned away at the connect may only leave. */
static enum command_result
deny(struct session *s)
{
    reply(s, 503, "5.7.0 Error: access denied for %s", s->peer.text);
    return COMMAND_BAD;
}

static enum command_result
run_command(struct session *s, enum verb verb, struct slice args)
{
    const struct command *c = &commands[verb];

    s->where = c->name;
    s->counts[verb]++;
    if (s->denied && (c->flags & COMMAND_ALWAYS) == 0)
        return deny(s);
    if ((c->flags & COMMAND_NEEDS_HELO) != 0 && s->helo == NULL &&
        s->config->smtpd_helo_required) {
        reply(s, 503, "5.5.1 Error: send HELO/EHLO first");
        return COMMAND_BAD;
    }
    if ((c->flags & COMMAND_JUNK) != 0 &&
        ++s->junk > s->config->smtpd_junk_command_limit)
        s->errors++;
    return c->run(s, args);
}

static enum command_result
count_result(struct session *s, enum verb verb, enum command_result result)
{
    if (result == COMMAND_GOOD)
        s->goods[verb]++;
    else if (result == COMMAND_BAD)
        s->errors++;
    return result;
}

/* A bare LF behind a command is as forbidden as one in a message. */
static bool
is_bad_line_end(const struct session *s)
{
    return s->profile->bare_newline == BARE_NEWLINE_REJECT &&
        !s->trusted_lines && stream_line_was_bare_lf(s->client);
}

/* With smtputf8_enable octets above 126 are UTF-8, or nothing. */
static bool
is_bad_text(const struct session *s, struct slice text)
{
    return s->config->smtputf8_enable && !utf8_is_valid(text);
}

static enum command_result
handle_line(struct session *s, enum verb verb, struct slice line,
    struct slice args)
{
    if (is_bad_line_end(s)) {
        session_log_access(s, "reject", "bare <LF> received");
        reply(s, (int)s->config->smtpd_forbid_bare_newline_reject_code,
            "5.5.2 %s Error: bare <LF> received", s->config->myhostname);
        return COMMAND_HANGUP;
    }
    if (verb == VERB_COUNT || is_bad_text(s, line)) {
        reply(s, 500, "5.5.2 Error: bad %ssyntax",
            verb == VERB_COUNT ? "" : "UTF-8 ");
        s->errors++;
        return COMMAND_BAD;
    }
    return count_result(s, verb, run_command(s, verb, args));
}

/* The last word of a session, and no more waiting than it is worth. */
static enum session_end
close_with(struct session *s, enum session_end end)
{
    int64_t deadline = clock_now_ms() + FAREWELL_MS;

    if (stream_flush(s->client, deadline) != STREAM_OK)
        return end;
    return end;
}

/* Its mail was taken: that it does without QUIT is nothing to be told of. */
static bool
has_sent(const struct session *s)
{
    return s->mail.octets == 0 && s->mail.cleanup == NULL &&
        strcmp(s->where, "END-OF-MESSAGE") == 0;
}

static enum session_end
left(struct session *s, const char *how, enum session_end end)
{
    if (s->unseen && end == SESSION_CLIENT_LEFT)
        return end;
    session_show(s);
    if (end == SESSION_CLIENT_LEFT && has_sent(s))
        return close_with(s, end);
    if (s->mail.octets > 0 || s->mail.cleanup != NULL)
        log_write(LOG_LEVEL_INFO, s->profile->tag,
            "%s after %s (%ju bytes) from %s", how, s->where,
            (uintmax_t)s->mail.octets, s->peer.text);
    else
        log_write(LOG_LEVEL_INFO, s->profile->tag, "%s after %s from %s", how,
            s->where, s->peer.text);
    return close_with(s, end);
}

static enum session_end
timed_out(struct session *s)
{
    reply(s, 421, "4.4.2 %s Error: timeout exceeded", s->config->myhostname);
    return left(s, "timeout", SESSION_TIMED_OUT);
}

static enum session_end
drained(struct session *s)
{
    reply(s, 421, "4.3.2 %s Service not available, closing channel",
        s->config->myhostname);
    return close_with(s, SESSION_DRAINED);
}

static enum session_end
too_many_errors(struct session *s)
{
    reply(s, 421, "4.7.0 %s Error: too many errors", s->config->myhostname);
    return left(s, "too many errors", SESSION_TOO_MANY_ERRORS);
}

static enum session_end
not_smtp(struct session *s, struct slice line)
{
    s->counts[VERB_UNKNOWN]++;
    log_write(LOG_LEVEL_WARNING, s->profile->tag,
        "non-SMTP command from %s: " SLICE_FMT, s->peer.text,
        SLICE_ARG(slice_head(line, FORBIDDEN_SHOWN)));
    reply(s, 221, "2.7.0 Error: I can break rules, too. Goodbye.");
    return close_with(s, SESSION_NOT_SMTP);
}

static void
log_ahead(const struct session *s, const char *after, struct slice ahead)
{
    struct buf text;

    buf_init(&text, AHEAD_SHOWN * 4);
    ahead = slice_head(ahead, AHEAD_SHOWN);
    for (size_t i = 0; i < ahead.len; i++) {
        char c = ahead.ptr[i];

        if (c == '\r')
            buf_add_text(&text, "\\r");
        else if (c == '\n')
            buf_add_text(&text, "\\n");
        else if (c == '\t')
            buf_add_text(&text, "\\t");
        else
            buf_add_octet(&text, (unsigned char)c);
    }
    log_write(LOG_LEVEL_INFO, s->profile->tag,
        "improper command pipelining after %s from %s: %s", after, s->peer.text,
        buf_text(&text));
    buf_fini(&text);
}

static enum session_end
talked_ahead(struct session *s)
{
    reply(s, 554, "5.5.0 Error: SMTP protocol synchronization");
    return close_with(s, SESSION_REFUSED);
}

/* Before our greeting nothing may be said. */
static bool
talks_early(struct session *s)
{
    struct slice in;

    if (!s->config->smtpd_forbid_unauth_pipelining || s->profile->stand_alone ||
        stream_peek(s->client, clock_now_ms(), &in) != STREAM_OK)
        return false;
    log_ahead(s, s->where, in);
    return true;
}

/* Has more been sent along with a command that must be the last? */
static bool
is_ahead(struct session *s, enum verb verb)
{
    struct slice in;

    if (s->profile->stand_alone || stream_buffered(s->client) == 0 ||
        (s->esmtp &&
            (verb == VERB_COUNT ||
                (commands[verb].flags & COMMAND_LAST) == 0)) ||
        stream_peek(s->client, 0, &in) != STREAM_OK)
        return false;
    if (!s->talked_ahead)
        log_ahead(s, verb == VERB_COUNT ? "UNKNOWN" : commands[verb].name, in);
    s->talked_ahead = true;
    return true;
}

/* smtpd_command_filter: what it makes of line lies in *to. */
static void
filter_command(struct session *s, struct buf *to, struct slice *line)
{
    struct slice key = *line;
    struct why why;

    if (s->profile->command_filter == NULL)
        return;
    while (key.len > 0 && (key.ptr[0] == ' ' || key.ptr[0] == '\t'))
        key = slice_skip(key, 1);
    switch (table_list_find(s->profile->command_filter, key, to, &why)) {
    case TABLE_FOUND:
        log_write(LOG_LEVEL_INFO, s->profile->tag,
            "%s: replacing command \"" SLICE_FMT "\" with \"%s\"", s->peer.text,
            SLICE_ARG(slice_head(key, FORBIDDEN_SHOWN)), buf_text(to));
        *line = buf_slice(to);
        break;
    case TABLE_NOT_FOUND:
        break;
    case TABLE_ERROR:
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "%s: command \"" SLICE_FMT "\" is left as it is: %s", s->peer.text,
            SLICE_ARG(slice_head(key, FORBIDDEN_SHOWN)), why.text);
        break;
    }
}

static bool
is_forbidden(const struct session *s, enum verb verb, struct slice line)
{
    struct match_list *tables = s->profile->forbidden_tables;
    struct slice word;
    struct why why;

    return command_is_forbidden(s->config->smtpd_forbidden_commands, verb,
               line) ||
        (tables != NULL && slice_word(&line, " \t", &word) &&
            match_list_find(tables, word, &why) == TABLE_FOUND);
}

/* False: nothing more is to be done about it. */
static bool
passes_screen(struct session *s, enum verb verb, struct slice line,
    bool *dropped)
{
    enum screen_answer answer = s->screening == NULL
        ? SCREEN_GO_ON
        : screen_command(s, verb, line);

    *dropped = answer == SCREEN_DROPPED;
    return answer == SCREEN_GO_ON;
}

static enum session_end
converse(struct session *s, struct buf *filtered)
{
    while (!s->hangup && s->errors < s->config->smtpd_hard_error_limit) {
        struct slice line, args;
        enum verb verb;
        bool dropped;

        switch (read_command(s, &line)) {
        case STREAM_OK:
            session_show(s);
            break;
        case STREAM_TOO_LONG:
            session_show(s);
            reply(s, 500, "5.5.2 Error: line too long");
            s->errors++;
            continue;
        case STREAM_TIMEOUT:
            return timed_out(s);
        case STREAM_CANCELLED:
            return drained(s);
        case STREAM_EOF:
        case STREAM_ERROR:
            return left(s, "lost connection", SESSION_CLIENT_LEFT);
        }

        filter_command(s, filtered, &line);
        verb = command_parse(line, &args);
        if (command_is_listed(s->config->smtpd_noop_commands, line))
            verb = VERB_NOOP;
        if (!passes_screen(s, verb, line, &dropped)) {
            if (dropped)
                return close_with(s, SESSION_REFUSED);
            continue;
        }
        if (is_forbidden(s, verb, line))
            return not_smtp(s, line);
        if (is_ahead(s, verb) && s->config->smtpd_forbid_unauth_pipelining)
            return talked_ahead(s);
        switch (handle_line(s, verb, line, args)) {
        case COMMAND_GOOD:
        case COMMAND_BAD:
        case COMMAND_REFUSED:
            break;
        case COMMAND_LEFT:
            return left(s, "lost connection", SESSION_CLIENT_LEFT);
        case COMMAND_LATE:
            return timed_out(s);
        case COMMAND_HANGUP:
            return close_with(s, SESSION_REFUSED);
        case COMMAND_CUT:
            return drained(s);
        }
        if (verb == VERB_QUIT)
            return close_with(s, SESSION_QUIT);
    }
    return s->hangup ? close_with(s, SESSION_REFUSED) : too_many_errors(s);
}

/* Not one too many: smtpd_client_connection_count_limit and its kin. */
static bool
is_welcome(struct session *s)
{
    struct refusal no;

    session_note_rights(s);
    if (counts_connect(s, &no))
        return true;
    reply_refusal(s, &no);
    return false;
}

enum session_end
dialogue_run(struct session *s)
{
    struct buf filtered;
    enum session_end end;

    s->where = "CONNECT";
    if (talks_early(s))
        return talked_ahead(s);
    if (!is_welcome(s))
        return close_with(s, SESSION_REFUSED);
    session_begin(s);
    buf_init(&filtered, TABLE_KEY_MAX);
    end = converse(s, &filtered);
    buf_fini(&filtered);
    return end;
}
