#include "smtp/session.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "smtp/source.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static void
name_session(struct session *s, const struct target *target)
{
    char address[SOCK_TEXT_MAX];

    snprintf(s->host, sizeof(s->host), SLICE_FMT, SLICE_ARG(target->host));
    if (target->path.len > 0) {
        snprintf(s->name, sizeof(s->name), "%s[" SLICE_FMT "]", s->host,
            SLICE_ARG(target->path));
        snprintf(s->relay, sizeof(s->relay), "%s", s->name);
        return;
    }
    sock_addr_text(&target->addr, address);
    snprintf(s->name, sizeof(s->name), "%s[%s]", s->host, address);
    snprintf(s->relay, sizeof(s->relay), "%s[%s]:%u", s->host, address,
        sock_addr_port(&target->addr));
}

/* Takes over fd, which is connected. */
static struct session *
session_new(const struct profile *profile, const struct target *target, int fd)
{
    struct session *s = mem_alloc(sizeof(*s));

    s->stream = stream_new(fd);
    s->profile = *profile;
    if (profile->set != NULL)
        config_hold(profile->set);
    s->addr = target->addr;
    s->opened_ms = clock_now_ms();
    reply_init(&s->reply);
    list_init(&s->node);
    name_session(s, target);
    return s;
}

static void
refused_connection(const struct target *target, const struct why *why,
    struct excuse *excuse)
{
    char address[SOCK_TEXT_MAX];
    const char *reason = why->sys != 0 ? strerror(why->sys) : why->text;

    if (target->path.len > 0)
        excuse_set(excuse, "4.4.1",
            "connect to " SLICE_FMT "[" SLICE_FMT "]: %s",
            SLICE_ARG(target->host), SLICE_ARG(target->path), reason);
    else
        excuse_set(excuse, "4.4.1", "connect to " SLICE_FMT "[%s]:%u: %s",
            SLICE_ARG(target->host), sock_addr_text(&target->addr, address),
            sock_addr_port(&target->addr), reason);
}

/* An address of ours that is gone is no reason not to deliver. */
static enum result
connect_from_somewhere(const struct config *config, const struct target *target,
    int64_t deadline, int *fd, struct why *why)
{
    struct sock_addr from;
    char address[SOCK_TEXT_MAX];
    enum result res;

    if (!source_address(config, target->addr.u.any.sa_family, &from))
        return sock_connect(&target->addr, NULL, deadline, fd, why);
    res = sock_connect(&target->addr, &from, deadline, fd, why);
    if (res == RESULT_OK || why->sys != EADDRNOTAVAIL)
        return res;
    log_warning("bind %s: %s", sock_addr_text(&from, address),
        strerror(why->sys));
    return sock_connect(&target->addr, NULL, deadline, fd, why);
}

struct session *
session_connect(const struct profile *profile, const struct target *target,
    struct excuse *excuse)
{
    const struct config *config = profile->config;
    int64_t timeout = config->smtp_connect_timeout;
    struct why why;
    int fd;

    /* 0 is documented as the system's own limit; ours needs a number. */
    if (timeout <= 0)
        timeout = 600 * 1000;
    if (connect_from_somewhere(config, target, clock_now_ms() + timeout, &fd,
            &why) != RESULT_OK) {
        refused_connection(target, &why, excuse);
        return NULL;
    }
    return session_new(profile, target, fd);
}

static bool
session_lost(struct session *s, const char *stage, struct excuse *excuse)
{
    s->dead = true;
    excuse_set(excuse, "4.4.2", "lost connection with %s while %s", s->name,
        stage);
    return false;
}

static bool
session_timed_out(struct session *s, const char *stage, struct excuse *excuse)
{
    s->dead = true;
    excuse_set(excuse, "4.4.2", "conversation with %s timed out while %s",
        s->name, stage);
    return false;
}

static bool
session_cancelled(struct session *s, struct excuse *excuse)
{
    s->dead = true;
    excuse_set(excuse, "4.3.2",
        "delivery interrupted: mail system is stopping");
    return false;
}

bool
session_reply(struct session *s, int64_t timeout_ms, const char *stage,
    struct excuse *excuse)
{
    switch (reply_read(&s->reply, s->stream, clock_now_ms() + timeout_ms)) {
    case REPLY_OK:
        if (s->reply.code == 421)
            s->closing = true;
        return true;
    case REPLY_LOST:
        return session_lost(s, stage, excuse);
    case REPLY_TIMEOUT:
        return session_timed_out(s, stage, excuse);
    case REPLY_PROTOCOL:
        s->dead = true;
        excuse_set(excuse, "4.5.0",
            "Protocol error: host %s sent no proper reply while %s", s->name,
            stage);
        return false;
    case REPLY_CANCELLED:
        break;
    }
    return session_cancelled(s, excuse);
}

bool
session_flush(struct session *s, int64_t timeout_ms, const char *stage,
    struct excuse *excuse)
{
    switch (stream_flush(s->stream, clock_now_ms() + timeout_ms)) {
    case STREAM_OK:
        return true;
    case STREAM_TIMEOUT:
        return session_timed_out(s, stage, excuse);
    case STREAM_TOO_LONG:
    case STREAM_EOF:
    case STREAM_ERROR:
        return session_lost(s, stage, excuse);
    case STREAM_CANCELLED:
        break;
    }
    return session_cancelled(s, excuse);
}

static enum session_greeted
refused(struct session *s, struct excuse *excuse)
{
    excuse_from_reply(excuse, s->name, s->host, &s->reply, NULL);
    return GREETED_REFUSED;
}

static const struct {
    const char *keyword;
    enum session_feature feature;
} keywords[] = {
    { "PIPELINING", SESSION_PIPELINING },
    { "SIZE", SESSION_SIZE },
    { "8BITMIME", SESSION_8BITMIME },
    { "DSN", SESSION_DSN },
    { "SMTPUTF8", SESSION_SMTPUTF8 },
};

static void
take_keyword(struct session *s, struct slice line)
{
    struct slice word, argument;

    if (!slice_word(&line, " \t", &word))
        return;
    for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
        if (slice_eq_nocase(word, slice_of(keywords[i].keyword)))
            s->features |= keywords[i].feature;
    if (slice_eq_nocase(word, SLICE_LIT("SIZE")) &&
        slice_word(&line, " \t", &argument) &&
        !num_parse_u64(argument, UINT64_MAX, &s->size_limit))
        log_write(LOG_LEVEL_WARNING, s->profile.tag,
            "bad EHLO SIZE limit \"" SLICE_FMT "\" from %s",
            SLICE_ARG(slice_head(argument, 100)), s->relay);
}

/* The first line names the server, each later one an extension. */
static void
take_extensions(struct session *s, struct slice *name)
{
    struct slice rest = buf_slice(&s->reply.text), line;
    bool first = true;

    *name = (struct slice){ 0 };
    while (slice_line(&rest, &line)) {
        line = slice_skip(line, 4);
        if (first) {
            slice_word(&line, " \t", name);
            first = false;
        } else {
            take_keyword(s, line);
        }
    }
}

static bool
say_hello(struct session *s, const char *verb, struct excuse *excuse)
{
    const struct config *config = s->profile.config;
    char stage[40];
    int64_t timeout = config->smtp_helo_timeout;

    snprintf(stage, sizeof(stage), "performing the %s handshake", verb);
    stream_printf(s->stream, clock_now_ms() + timeout, "%s %s\r\n", verb,
        config->smtp_helo_name);
    return session_flush(s, timeout, stage, excuse) &&
        session_reply(s, timeout, stage, excuse);
}

static enum session_greeted
is_myself(struct session *s, const char *loop_name, bool best,
    struct slice nexthop, struct excuse *excuse)
{
    log_write(LOG_LEVEL_WARNING, s->profile.tag,
        "host %s replied to HELO/EHLO with my own hostname %s", s->relay,
        loop_name);
    excuse_set(excuse, best ? "5.4.6" : "4.4.6",
        "mail for " SLICE_FMT " loops back to myself", SLICE_ARG(nexthop));
    return GREETED_REFUSED;
}

static enum session_greeted
greet(struct session *s, struct slice *name, struct excuse *excuse)
{
    const struct config *config = s->profile.config;

    if (!session_reply(s, config->smtp_helo_timeout,
            "receiving the initial server greeting", excuse))
        return GREETED_FAILED;
    if (reply_class(&s->reply) != 2) {
        /* A server that says 5xx at the door may mean only itself. */
        if (reply_class(&s->reply) == 5 && config->smtp_skip_5xx_greeting)
            s->reply.status[0] = '4';
        return refused(s, excuse);
    }
    s->features |= SESSION_ESMTP;
    if (!say_hello(s, s->profile.lmtp ? "LHLO" : "EHLO", excuse))
        return GREETED_FAILED;
    if (reply_class(&s->reply) == 2) {
        take_extensions(s, name);
        return GREETED_OK;
    }
    if (s->profile.lmtp || s->reply.code == 421)
        return refused(s, excuse);
    s->features &= ~(unsigned)SESSION_ESMTP;
    if (!say_hello(s, "HELO", excuse))
        return GREETED_FAILED;
    if (reply_class(&s->reply) != 2)
        return refused(s, excuse);
    *name = slice_skip(buf_slice(&s->reply.text), 4);
    *name = slice_head(*name, slice_find(*name, ' '));
    return GREETED_OK;
}

enum session_greeted
session_greet(struct session *s, const char *loop_name, bool best,
    struct slice nexthop, struct excuse *excuse)
{
    struct slice name = { 0 };
    enum session_greeted res = greet(s, &name, excuse);

    if (res == GREETED_OK && loop_name != NULL &&
        slice_eq_nocase(name, slice_of(loop_name)))
        return is_myself(s, loop_name, best, nexthop, excuse);
    return res;
}

void
session_quit(struct session *s)
{
    const struct config *config;
    int64_t deadline;

    if (s == NULL)
        return;
    config = s->profile.config;
    if (!s->dead) {
        deadline = clock_now_ms() + config->smtp_quit_timeout;
        stream_write(s->stream, SLICE_LIT("QUIT\r\n"), deadline);
        if (stream_flush(s->stream, deadline) == STREAM_OK &&
            !config->smtp_skip_quit_response &&
            reply_read(&s->reply, s->stream, deadline) != REPLY_OK)
            s->dead = true;
    }
    session_free(s);
}

void
session_set_destination(struct session *s, struct slice destination)
{
    mem_free((void *)(uintptr_t)s->destination.ptr);
    s->destination = destination;
}

void
session_free(struct session *s)
{
    if (s == NULL)
        return;
    stream_free(s->stream);
    reply_fini(&s->reply);
    session_set_destination(s, (struct slice){ 0 });
    config_drop(s->profile.set);
    mem_free(s);
}
