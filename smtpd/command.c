#include "smtpd/command.h"

#include "lib/config/config.h"
#include "lib/mail/header.h"
#include "smtpd/counts.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

/* Refused as Postfix refuses them where they are not switched on. */
static enum command_result
no_starttls(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 502, "5.5.1 Error: command not implemented");
    return COMMAND_BAD;
}

static enum command_result
no_auth(struct session *s, struct slice args)
{
    struct refusal no;

    (void)args;
    if (counts_auth(s, &no))
        reply(s, 503, "5.5.1 Error: authentication not enabled");
    else
        reply_refusal(s, &no);
    return COMMAND_BAD;
}

static enum command_result
not_there(struct session *s, struct slice args)
{
    (void)args;
    reply(s, 500, "5.5.2 Error: command not recognized");
    return COMMAND_BAD;
}

#define COMMAND(verb, lower, fn, ...) \
    [VERB_##verb] = { #verb, lower, fn, __VA_ARGS__ }
const struct command commands[VERB_COUNT] = {
    COMMAND(HELO, "helo", command_helo, COMMAND_LAST),
    COMMAND(EHLO, "ehlo", command_ehlo, COMMAND_LAST),
    COMMAND(XCLIENT, "xclient", command_xclient, COMMAND_JUNK),
    COMMAND(XFORWARD, "xforward", command_xforward, COMMAND_JUNK),
    COMMAND(STARTTLS, "starttls", no_starttls, COMMAND_LAST),
    COMMAND(AUTH, "auth", no_auth, COMMAND_NEEDS_HELO),
    COMMAND(MAIL, "mail", command_mail, COMMAND_NEEDS_HELO),
    COMMAND(RCPT, "rcpt", command_rcpt, 0),
    COMMAND(DATA, "data", command_data, COMMAND_LAST),
    COMMAND(BDAT, "bdat", command_bdat, 0),
    COMMAND(RSET, "rset", command_rset, COMMAND_JUNK),
    COMMAND(NOOP, "noop", command_noop, COMMAND_JUNK | COMMAND_LAST),
    COMMAND(VRFY, "vrfy", command_vrfy, COMMAND_JUNK | COMMAND_LAST),
    COMMAND(ETRN, "etrn", command_etrn, COMMAND_NEEDS_HELO | COMMAND_JUNK),
    COMMAND(HELP, "help", command_help, COMMAND_JUNK),
    COMMAND(QUIT, "quit", command_quit, COMMAND_ALWAYS),
    COMMAND(UNKNOWN, "unknown", not_there, 0),
};

enum verb
command_parse(struct slice line, struct slice *args)
{
    struct slice rest = slice_trim(line), word;

    *args = (struct slice){ NULL, 0 };
    if (!slice_word(&rest, " \t", &word))
        return VERB_COUNT;
    *args = slice_trim(rest);
    for (enum verb v = 0; v < VERB_UNKNOWN; v++)
        if (slice_eq_nocase(word, slice_of(commands[v].name)))
            return v;
    return VERB_UNKNOWN;
}

bool
command_is_listed(const char *list, struct slice line)
{
    struct slice rest = slice_of(list), word, name;

    if (!slice_word(&line, " \t", &word))
        return false;
    while (config_list_next(&rest, &name))
        if (slice_eq_nocase(name, word))
            return true;
    return false;
}

static bool
begins_with_letter(struct slice line)
{
    return line.len > 0 && (line.ptr[0] | 0x20) >= 'a' &&
        (line.ptr[0] | 0x20) <= 'z';
}

bool
command_is_forbidden(const char *forbidden, enum verb verb, struct slice line)
{
    line = slice_trim(line);
    if (line.len == 0)
        return false;
    if (verb == VERB_UNKNOWN && header_name_length(line) > 0)
        return true;
    if (command_is_listed(forbidden, line))
        return true;
    return !begins_with_letter(line) &&
        strstr(forbidden, COMMAND_NO_LETTER) != NULL;
}
