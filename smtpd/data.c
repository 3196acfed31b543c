/*
 * data - DATA: content up to a final dot.
 */
#include "lib/base/clock.h"
#include "smtpd/access.h"
#include "smtpd/content.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

/*
 * Read up to the final dot, whatever becomes of the message: the rest of it
 * would be taken for commands. STREAM_OK: it was there.
 */
static enum stream_status
read_content(struct session *s, struct unstuff *u)
{
    struct pace pace;

    pace_begin(s, &pace);
    for (;;) {
        struct slice in, rest, run;
        enum stream_status status = pace_peek(s, &pace, &in);
        enum unstuff_step step;

        if (status != STREAM_OK)
            return status;
        rest = in;
        while ((step = unstuff_next(u, &rest, &run)) == UNSTUFF_RUN)
            content_take(s, run);
        pace_took(s, &pace, in.len - rest.len);
        stream_consume(s->client, in.len - rest.len);
        if (step == UNSTUFF_END)
            return STREAM_OK;
    }
}

static enum unstuff_mode
mode_of(const struct session *s)
{
    return s->profile->bare_newline == BARE_NEWLINE_ALLOW || s->trusted_lines
        ? UNSTUFF_LENIENT
        : UNSTUFF_STRICT;
}

static enum command_result
transfer(struct session *s)
{
    int64_t deadline = clock_now_ms() + s->config->smtpd_timeout;
    enum stream_status status;
    struct unstuff u;

    reply(s, 354, "End data with <CR><LF>.<CR><LF>");
    if (stream_flush(s->client, deadline) != STREAM_OK)
        return COMMAND_LEFT;
    unstuff_init(&u, mode_of(s));
    status = read_content(s, &u);
    return status == STREAM_OK ? content_end(s, &u, "")
                               : content_result(status);
}

static bool
is_ready(struct session *s, struct slice args, struct refusal *no)
{
    if (s->mail.chunks != CHUNKS_NONE)
        return refusal_set(no, 503, "5.5.1", "Error: DATA after BDAT");
    if (s->mail.binary)
        return refusal_set(no, 503, "5.5.1",
            "Error: BODY=BINARYMIME requires BDAT");
    if (s->mail.envelope.recipient_count == 0)
        return s->mail.open
            ? refusal_set(no, 554, "5.5.1", "Error: no valid recipients")
            : refusal_set(no, 503, "5.5.1", "Error: need RCPT command");
    if (args.len > 0)
        return refusal_set(no, 501, "5.5.4", "Syntax: DATA");
    return access_data(s, no) && content_begin(s, no);
}

enum command_result
command_data(struct session *s, struct slice args)
{
    enum command_result result;
    struct refusal no;

    if (!is_ready(s, args, &no)) {
        reply_refusal(s, &no);
        return COMMAND_BAD;
    }
    result = transfer(s);
    if (result == COMMAND_GOOD || result == COMMAND_BAD)
        session_reset(s);
    return result;
}
