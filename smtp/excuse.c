#include "smtp/excuse.h"

#include "smtp/reply.h"

#include <stdio.h>

void
excuse_clear(struct excuse *e)
{
    e->status[0] = e->text[0] = e->remote[0] = e->diagnostic[0] = '\0';
    e->by_remote = false;
}

void
excuse_set(struct excuse *e, const char *status, const char *fmt, ...)
{
    va_list ap;

    excuse_clear(e);
    snprintf(e->status, sizeof(e->status), "%s", status);
    va_start(ap, fmt);
    vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
}

void
excuse_from_why(struct excuse *e, const struct why *why)
{
    excuse_set(e, why->status[0] != '\0' ? why->status : "4.3.0", "%s",
        why->text);
}

void
excuse_from_reply(struct excuse *e, const char *name, const char *host,
    const struct reply *reply, const char *command)
{
    bool wrong = reply_class(reply) != 4 && reply_class(reply) != 5;
    const char *prefix = wrong ? "Protocol error: " : "";
    struct buf line;

    buf_init(&line, EXCUSE_TEXT_MAX);
    reply_one_line(reply, EXCUSE_REPLY_MAX, &line);
    if (command != NULL)
        excuse_set(e, wrong ? "5.5.0" : reply->status,
            "%shost %s said: " SLICE_FMT " (in reply to %s)", prefix, name,
            SLICE_ARG(buf_slice(&line)), command);
    else
        excuse_set(e, wrong ? "5.5.0" : reply->status,
            "%shost %s refused to talk to me: " SLICE_FMT, prefix, name,
            SLICE_ARG(buf_slice(&line)));
    e->by_remote = true;
    snprintf(e->remote, sizeof(e->remote), "%s", host);
    snprintf(e->diagnostic, sizeof(e->diagnostic), SLICE_FMT,
        SLICE_ARG(buf_slice(&line)));
    buf_fini(&line);
}
