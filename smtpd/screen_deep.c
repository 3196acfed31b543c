/*
 * screen_deep - the tests after the greeting: commands sent ahead of replies,
 * commands of other protocols, lines that end with LF alone.
 *
 * While they are under way PIPELINING is not announced, so that whoever sends
 * ahead breaks a rule.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "smtpd/path_argument.h"
#include "smtpd/reply.h"
#include "smtpd/screen_private.h"

enum { SHOWN_ROOM = 128 };

static const struct config *
config_of(const struct session *s)
{
    return s->screening->screen->config;
}

static const char *
tag_of(const struct session *s)
{
    return s->screening->screen->tag;
}

static int64_t
ttl_of(const struct config *c, enum screen_test test)
{
    switch (test) {
    case TEST_PREGREET:
        return c->postscreen_greet_ttl;
    case TEST_DNSBL:
        return c->postscreen_dnsbl_max_ttl;
    case TEST_PIPELINING:
        return c->postscreen_pipelining_ttl;
    case TEST_NON_SMTP:
        return c->postscreen_non_smtp_command_ttl;
    case TEST_BARE_NEWLINE:
        return c->postscreen_bare_newline_ttl;
    case TESTS:
        break;
    }
    return 0;
}

/* A failure that is ignored is not looked for until something else is due. */
static int64_t
shortest_ttl(const struct config *c)
{
    int64_t least = ttl_of(c, 0);

    for (enum screen_test t = 1; t < TESTS; t++)
        if (ttl_of(c, t) < least)
            least = ttl_of(c, t);
    return least;
}

static void
log_failure(const struct session *s, const char *what, const char *after,
    const struct slice *text)
{
    struct buf shown;

    buf_init(&shown, SHOWN_ROOM);
    if (text != NULL) {
        buf_add_text(&shown, ": ");
        screen_escape(*text, &shown);
    }
    log_write(LOG_LEVEL_INFO, tag_of(s), "%s from [%s]:%u after %s%s", what,
        s->peer.addr, s->peer.port, after, buf_text(&shown));
    buf_fini(&shown);
}

static enum screen_answer
fail(struct session *s, enum screen_test test, const char *status,
    const char *text)
{
    struct screening *sc = s->screening;
    enum screen_action action = sc->screen->actions[test];

    sc->failed |= 1U << test;
    if (action == ACTION_IGNORE)
        screen_pass(sc, test, shortest_ttl(config_of(s)));
    return screen_fail(s, action, 521, status, text) ? SCREEN_GO_ON
                                                     : SCREEN_DROPPED;
}

static bool
is_due(const struct session *s, enum screen_test test)
{
    const struct screening *sc = s->screening;

    return (sc->todo & ~sc->failed & ~sc->passed & 1U << test) != 0;
}

static bool
is_forbidden(const struct session *s, enum verb verb, struct slice line)
{
    struct match_list *tables = s->screening->screen->forbidden_tables;
    struct slice word;
    struct why why;

    return command_is_forbidden(config_of(s)->postscreen_forbidden_commands,
               verb, line) ||
        (tables != NULL && slice_word(&line, " \t", &word) &&
            match_list_find(tables, word, &why) == TABLE_FOUND);
}

static enum screen_answer
look_for_bare_newline(struct session *s)
{
    if (!is_due(s, TEST_BARE_NEWLINE) || !stream_line_was_bare_lf(s->client))
        return SCREEN_GO_ON;
    log_failure(s, "BARE NEWLINE", s->screening->after, NULL);
    return fail(s, TEST_BARE_NEWLINE, "5.5.1", "Protocol error");
}

static enum screen_answer
look_for_other_protocols(struct session *s, enum verb verb, struct slice line)
{
    if (!is_due(s, TEST_NON_SMTP) || !is_forbidden(s, verb, line))
        return SCREEN_GO_ON;
    log_failure(s, "NON-SMTP COMMAND", s->screening->after, &line);
    return fail(s, TEST_NON_SMTP,
        s->screening->screen->actions[TEST_NON_SMTP] == ACTION_DROP ? "5.7.0"
                                                                    : "5.5.1",
        s->screening->screen->actions[TEST_NON_SMTP] == ACTION_DROP
            ? "Error: I can break rules, too. Goodbye."
            : "Protocol error");
}

static enum screen_answer
look_for_pipelining(struct session *s, const char *command)
{
    struct slice ahead;

    if (!is_due(s, TEST_PIPELINING) || stream_buffered(s->client) == 0 ||
        stream_peek(s->client, 0, &ahead) != STREAM_OK)
        return SCREEN_GO_ON;
    log_failure(s, "COMMAND PIPELINING", command, &ahead);
    return fail(s, TEST_PIPELINING, "5.5.1", "Protocol error");
}

enum screen_answer
screen_look(struct session *s, enum verb verb, struct slice line)
{
    const char *command = verb < VERB_COUNT ? commands[verb].name : "UNKNOWN";
    enum screen_answer answer = look_for_bare_newline(s);

    if (answer == SCREEN_GO_ON)
        answer = look_for_other_protocols(s, verb, line);
    if (answer == SCREEN_GO_ON)
        answer = look_for_pipelining(s, command);
    s->screening->after = command;
    return answer;
}

/* In the session itself */

/* It has come to its first recipient without a fault. */
static void
pass(struct session *s)
{
    struct screening *sc = s->screening;

    for (enum screen_test t = TEST_PIPELINING; t < TESTS; t++)
        if (is_due(s, t))
            screen_pass(sc, t, ttl_of(config_of(s), t));
    if (sc->passed == sc->todo)
        log_write(LOG_LEVEL_INFO, tag_of(s), "PASS %s [%s]:%u",
            sc->known ? "OLD" : "NEW", s->peer.addr, s->peer.port);
    screen_end(s);
}

static enum screen_answer
refuse(struct session *s, struct slice line)
{
    const struct refusal *no = &s->screening->no;
    struct path_argument path;
    struct slice args;

    (void)command_parse(line, &args);
    if (path_argument_parse(args, "TO", false, &s->mail.arena, &path) !=
        PATH_FOUND)
        return SCREEN_GO_ON; /* is told what is wrong, and gets nowhere */
    screen_log_refusal(s, no, s->mail.envelope.sender, path.address);
    reply_refusal(s, no);
    return SCREEN_REFUSED;
}

enum screen_answer
screen_command(struct session *s, enum verb verb, struct slice line)
{
    enum screen_answer answer = screen_look(s, verb, line);

    if (answer != SCREEN_GO_ON || verb != VERB_RCPT)
        return answer;
    if (s->screening->no.code != 0)
        return s->mail.open ? refuse(s, line) : SCREEN_GO_ON;
    pass(s);
    return SCREEN_GO_ON;
}
