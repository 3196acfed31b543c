/*
 * hello - HELO and EHLO.
 */
#include "lib/base/mem.h"
#include "lib/base/printable.h"
#include "smtpd/access.h"
#include "smtpd/keyword.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

/* Nothing there may be taken for something else. */
char *
helo_clean(const struct session *s, struct slice name)
{
    char *clean = mem_text_of(slice_head(name, HELO_MAX));

    for (char *c = clean; *c != '\0'; c++)
        if ((*c >= 0 && *c <= ' ') || strchr("()<>\\\"", *c) != NULL ||
            ((unsigned char)*c > '~' && !s->config->smtputf8_enable))
            *c = '?';
    printable_make(clean, strlen(clean));
    return clean;
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
    s->helo = helo_clean(s, args);
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
    if (!say_hello(s, args, "EHLO", true))
        return COMMAND_BAD;
    keywords_announce(s);
    return COMMAND_GOOD;
}
