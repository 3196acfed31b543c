#include "smtpd/reply.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/io/fiber.h"
#include "smtpd/reply_footer.h"
#include "smtpd/session.h"

#include <stdio.h>

enum {
    LINE_MAX_OCTETS = 2048 + 512, /* a reply quotes at most a command */
    FRONT = 4,                    /* "250 " */
    BACK = 2,                     /* CRLF */
};

void
reply_soften(const struct session *s, int *code, char *status)
{
    if (!s->config->soft_bounce)
        return;
    if (code != NULL && *code >= 500 && *code < 600)
        *code -= 100;
    if (status != NULL && status[0] == '5' && status[1] == '.')
        status[0] = '4';
}

/*
 * access(5): who is told 421 or 521 is disconnected, be it a restriction, an
 * access table or a filter of replies that said so.
 */
static void
say_octets(struct session *s, struct slice reply)
{
    const struct slice code = slice_head(reply, 3);

    s->hangup |= slice_eq_text(code, "421") || slice_eq_text(code, "521");
    stream_write(s->client, reply, clock_now_ms() + s->config->smtpd_timeout);
}

static void
say_with_footer(struct session *s, struct slice reply)
{
    struct buf lines;

    buf_init(&lines, 2 * REPLY_MAX);
    reply_add_footer(s, reply, &lines);
    if (!buf_failed(&lines))
        say_octets(s, buf_slice(&lines));
    buf_fini(&lines);
}

/* In one piece and by hand: this is the most frequent thing that we do. */
ATTR_PRINTF(4, 0)
static void
say(struct session *s, int code, char separator, const char *fmt, va_list ap)
{
    char line[LINE_MAX_OCTETS];
    size_t len = FRONT;
    int n;

    n = vsnprintf(line + FRONT, sizeof(line) - FRONT - BACK, fmt, ap);
    if (n < 0)
        return;
    /* What of it is the client's must not be taken for a reply of ours. */
    for (; line[len] != '\0'; len++)
        if ((unsigned char)line[len] < ' ' || line[len] == 127)
            line[len] = '?';
    reply_soften(s, &code, line + FRONT);
    line[0] = (char)('0' + code / 100 % 10);
    line[1] = (char)('0' + code / 10 % 10);
    line[2] = (char)('0' + code % 10);
    line[3] = separator;
    if (code >= 400 && separator == ' ' && reply_has_footer(s)) {
        say_with_footer(s, (struct slice){ line, len });
        return;
    }
    line[len++] = '\r';
    line[len++] = '\n';
    say_octets(s, (struct slice){ line, len });
}

/* Whoever errs much waits: not the others. */
static void
slow_down(struct session *s)
{
    if (s->errors <= s->config->smtpd_soft_error_limit ||
        s->errors >= s->config->smtpd_hard_error_limit)
        return;
    if (stream_flush(s->client, clock_now_ms() + s->config->smtpd_timeout) !=
        STREAM_OK)
        return;
    (void)fiber_sleep_until(clock_now_ms() + s->config->smtpd_error_sleep_time);
}

void
reply(struct session *s, int code, const char *fmt, ...)
{
    va_list ap;

    slow_down(s);
    va_start(ap, fmt);
    say(s, code, ' ', fmt, ap);
    va_end(ap);
}

void
reply_more(struct session *s, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(s, code, '-', fmt, ap);
    va_end(ap);
}

void
reply_refusal(struct session *s, const struct refusal *no)
{
    if (no->status[0] == '\0')
        reply(s, no->code, "%s", no->text);
    else
        reply(s, no->code, "%s %s", no->status, no->text);
}
