/*
 * hello - HELO and EHLO.
 */
#include "lib/base/mem.h"
#include "smtpd/access.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

/* Stands in Received: and logs: nothing there may be taken for something else. */
static char *
clean_name(struct slice args)
{
    char *name = mem_text_of(slice_head(args, HELO_MAX));

    for (char *c = name; *c != '\0'; c++)
        if (*c <= ' ' || *c > '~' || strchr("()<>\\\"", *c) != NULL)
            *c = '?';
    return name;
}

/*
 * RFC 5321 section 4.1.4: both verbs clear what was under way. A name that is
 * refused leaves things as after the connect.
 */
static bool
say_hello(struct session *s, struct slice args, const char *verb, bool esmtp)
{
    struct refusal no;

    if (args.len == 0) {
        reply(s, 501, "Syntax: %s hostname", verb);
        return false;
    }
    session_reset(s);
    mem_free(s->helo);
    s->helo = clean_name(args);
    s->esmtp = false;
    if (!access_helo(s, &no)) {
        mem_free(s->helo);
        s->helo = NULL;
        reply_refusal(s, &no);
        return false;
    }
    s->esmtp = esmtp;
    return true;
}

enum command_result
command_helo(struct session *s, struct slice args)
{
    if (!say_hello(s, args, "HELO", false))
        return COMMAND_BAD;
    reply(s, 250, "%s", s->config->myhostname);
    return COMMAND_GOOD;
}

enum command_result
command_ehlo(struct session *s, struct slice args)
{
    const struct config *config = s->config;

    if (!say_hello(s, args, "EHLO", true))
        return COMMAND_BAD;
    reply_more(s, 250, "%s", config->myhostname);
    reply_more(s, 250, "PIPELINING");
    if (config->message_size_limit > 0)
        reply_more(s, 250, "SIZE %jd", (intmax_t)config->message_size_limit);
    else
        reply_more(s, 250, "SIZE");
    if (!config->disable_vrfy_command)
        reply_more(s, 250, "VRFY");
    reply_more(s, 250, "ENHANCEDSTATUSCODES");
    reply_more(s, 250, "8BITMIME");
    reply(s, 250, "DSN");
    return COMMAND_GOOD;
}
