#include "smtpd/reply.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/io/fiber.h"
#include "smtpd/session.h"

#include <stdio.h>

enum { LINE_MAX_OCTETS = 2048 + 512 }; /* a reply quotes at most a command */

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

static void
say(struct session *s, int code, char separator, const char *fmt, va_list ap)
{
    int64_t deadline = clock_now_ms() + s->config->smtpd_timeout;
    char line[LINE_MAX_OCTETS];
    int n;

    n = vsnprintf(line, sizeof(line), fmt, ap);
    if (n < 0)
        return;
    reply_soften(s, &code, line);
    stream_printf(s->client, deadline, "%03d%c", code, separator);
    stream_write(s->client,
        slice_head((struct slice){ line, (size_t)n }, sizeof(line) - 1),
        deadline);
    stream_write(s->client, SLICE_LIT("\r\n"), deadline);
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
