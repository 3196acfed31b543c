#include "smtp/payload.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/content.h"
#include "smtp/dots.h"

/* What is being sent, and until when. */
struct sending {
    struct job *job;
    struct session *session;
    int64_t deadline;
};

static void
write_content(void *context, struct slice octets)
{
    const struct sending *s = context;

    stream_write(s->session->stream, octets, s->deadline);
}

/* The content cannot be read: our trouble, which no other host can cure. */
static enum payload_end
content_failed(struct sending *s, const struct why *why)
{
    struct job *job = s->job;

    log_write(LOG_LEVEL_WARNING, job->profile.tag, "%s", why->text);
    excuse_set(&job->excuse, "4.3.0", "local data error while talking to %s",
        s->session->name);
    s->session->dead = true;
    job->final = true;
    return PAYLOAD_UNREADABLE;
}

static enum payload_end
send_pieces(struct sending *s, struct content *content, char *scratch)
{
    static const char *const body = "sending message body";
    static const char *const end =
        "sending end of data -- message may be sent more than once";
    struct job *job = s->job;
    int64_t timeout = job->profile.config->smtp_data_xfer_timeout;
    struct dots dots = {
        .limit = (size_t)job->profile.config->smtp_line_length_limit,
        .write = write_content,
        .context = s,
    };
    struct slice piece;
    uint64_t sent = 0;
    struct why why;

    for (;;) {
        if (content_next(content, scratch, &piece, &why) != RESULT_OK)
            return content_failed(s, &why);
        if (piece.len == 0)
            break;
        s->deadline = clock_now_ms() + timeout;
        dots_add(&dots, piece);
        sent += piece.len;
    }
    /* So that what broke before the dot is known to have been before it. */
    if (sent > STREAM_WRITE_BUFFER &&
        !session_flush(s->session, timeout, body, &job->excuse))
        return PAYLOAD_CUT;
    if (job_is_orphan(job)) {
        s->session->dead = true;
        excuse_set(&job->excuse, "4.3.0", "queue manager is gone");
        return PAYLOAD_CUT;
    }
    s->deadline = clock_now_ms() + timeout;
    dots_end(&dots);
    return session_flush(s->session, timeout, end, &job->excuse)
        ? PAYLOAD_SENT
        : PAYLOAD_IN_DOUBT;
}

enum payload_end
payload_send(struct job *job, struct session *session)
{
    const struct delivery *d = &job->delivery;
    struct sending s = { .job = job, .session = session };
    struct content content = {
        .header = d->header,
        .body = d->body,
        .fd = d->fd,
        .length = d->body_length,
        .crc = d->body_crc,
    };
    char unused[1], *scratch = unused;
    enum payload_end end;

    content_rewind(&content);
    if (d->fd >= 0) {
        scratch = mem_try_alloc(CONTENT_PIECE);
        if (scratch == NULL) {
            struct why why;

            (void)why_temp(&why, "4.3.0", "no memory for the content");
            return content_failed(&s, &why);
        }
    }
    end = send_pieces(&s, &content, scratch);
    if (scratch != unused)
        mem_free(scratch);
    return end;
}
