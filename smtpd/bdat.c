/*
 * bdat - BDAT (RFC 3030): content in chunks of a stated size.
 *
 * No dot ends it, so there is none to smuggle; line ends are normalized as with
 * DATA, so that what we pass on by DATA holds none that others could take for an
 * end. What has none (BODY=BINARYMIME) becomes base64 before that. The octets of
 * a chunk that is refused are read and dropped, since the client has sent them
 * along.
 */
#include "lib/base/log.h"
#include "lib/base/num.h"
#include "smtpd/access.h"
#include "smtpd/content.h"
#include "smtpd/keyword.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

struct chunk {
    uint64_t size;
    bool last;
};

static bool
parse(struct slice args, struct chunk *chunk)
{
    struct slice word;

    *chunk = (struct chunk){ .size = 0 };
    if (!slice_word(&args, " \t", &word) ||
        !num_parse_u64(word, INT64_MAX, &chunk->size))
        return false;
    if (!slice_word(&args, " \t", &word))
        return true;
    chunk->last = slice_eq_nocase(word, SLICE_LIT("LAST"));
    return chunk->last && slice_trim(args).len == 0;
}

static void
take_lines(void *context, struct slice octets)
{
    struct session *s = context;
    struct slice run;

    while (unstuff_next(&s->mail.lines, &octets, &run) == UNSTUFF_RUN)
        content_take(s, run);
}

static void
take_octets(struct session *s, struct slice octets)
{
    if (s->mail.converter != NULL)
        mime_convert_take(s->mail.converter, octets);
    else
        take_lines(s, octets);
}

static void
begin_lines(struct session *s)
{
    unstuff_init(&s->mail.lines, UNSTUFF_RAW);
    if (s->mail.binary)
        s->mail.converter = mime_convert_new(MIME_CONVERT_BINARY,
            config_of_service(s->set, s->config->cleanup_service_name),
            take_lines, s);
}

static bool
end_lines(struct session *s, struct refusal *no)
{
    struct why why;
    struct slice run;

    if (s->mail.converter != NULL &&
        mime_convert_end(s->mail.converter, &why) != RESULT_OK)
        return refusal_set(no, 550, why.status, "%s", why.text);
    if (unstuff_finish(&s->mail.lines, &run))
        content_take(s, run);
    return true;
}

/* May this chunk be taken? Begins the message with its first one. */
static bool
is_welcome(struct session *s, const struct chunk *chunk, struct refusal *no)
{
    int64_t limit = s->config->message_size_limit;
    char id[QUEUE_ID_SIZE];

    if (s->mail.chunks == CHUNKS_FAILED)
        return refusal_set(no, 551, "5.0.0",
            "Discarded %ju bytes after earlier error", (uintmax_t)chunk->size);
    if (s->mail.envelope.recipient_count == 0)
        return s->mail.open
            ? refusal_set(no, 554, "5.5.1", "Error: no valid recipients")
            : refusal_set(no, 503, "5.5.1", "Error: need RCPT command");
    if (limit > 0 &&
        (chunk->size > (uint64_t)limit ||
            s->mail.chunked > (uint64_t)limit - chunk->size)) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "%s: BDAT request from %s exceeds message size limit",
            session_queue_id(s, id), s->peer.text);
        return refusal_set(no, 552, "5.3.4",
            "Chunk exceeds message size limit");
    }
    if (s->mail.chunks == CHUNKS_NONE) {
        if (!access_data(s, no) || !content_begin(s, no))
            return false;
        begin_lines(s);
        s->mail.chunks = CHUNKS_OPEN;
    }
    return true;
}

/*
 * A client that writes the command and the chunk one after the other does not
 * send a short one before the command is acknowledged (Nagle's algorithm). That
 * would be with our reply, which waits for the chunk, or 40 ms later.
 */
static void
invite(struct session *s)
{
    const int on = 1;

    if (stream_buffered(s->client) == 0)
        (void)setsockopt(stream_fd(s->client), IPPROTO_TCP, TCP_QUICKACK, &on,
            sizeof(on));
}

/* The octets of a chunk: into the message, or nowhere. */
static enum stream_status
read_chunk(struct session *s, uint64_t size, bool keep)
{
    struct pace pace;

    if (size > 0)
        invite(s);
    pace_begin(s, &pace);
    while (size > 0) {
        struct slice in;
        enum stream_status status = pace_peek(s, &pace, &in);

        if (status != STREAM_OK)
            return status;
        in = slice_head(in, size > SIZE_MAX ? SIZE_MAX : (size_t)size);
        if (keep)
            take_octets(s, in);
        pace_took(s, &pace, in.len);
        stream_consume(s->client, in.len);
        size -= in.len;
    }
    return STREAM_OK;
}

static enum command_result
refuse(struct session *s, const struct chunk *chunk, const struct refusal *no)
{
    reply_refusal(s, no);
    if (chunk->last)
        session_reset(s);
    else
        s->mail.chunks = CHUNKS_FAILED;
    return COMMAND_BAD;
}

static enum command_result
finish(struct session *s, const struct chunk *chunk)
{
    enum command_result result;
    struct refusal no;
    char said[64];

    if (!end_lines(s, &no))
        return refuse(s, chunk, &no);
    (void)snprintf(said, sizeof(said), "%ju bytes ",
        (uintmax_t)s->mail.chunked);
    result = content_end(s, &s->mail.lines, said);
    session_reset(s);
    return result;
}

static enum command_result
take(struct session *s, const struct chunk *chunk)
{
    struct refusal no;
    bool welcome = is_welcome(s, chunk, &no);
    enum stream_status status = read_chunk(s, chunk->size, welcome);

    if (status != STREAM_OK)
        return content_result(status);
    if (!welcome)
        return refuse(s, chunk, &no);
    s->mail.chunked += chunk->size;
    if (chunk->last)
        return finish(s, chunk);
    s->where = "BDAT content";
    if (s->profile->bare_newline == BARE_NEWLINE_REJECT &&
        !content_allow_lines(s, &s->mail.lines, &no))
        return refuse(s, chunk, &no);
    reply(s, 250, "2.0.0 Ok: %ju bytes", (uintmax_t)chunk->size);
    return COMMAND_GOOD;
}

/*
 * Where the octets end is not known after a bad size, and what was not offered
 * is not looked at: the session ends, or content would be taken for commands.
 */
enum command_result
command_bdat(struct session *s, struct slice args)
{
    char id[QUEUE_ID_SIZE];
    struct chunk chunk;

    if (keyword_is_discarded(s, KEYWORD_CHUNKING)) {
        reply(s, 521, "5.5.1 Error: command not implemented");
        return COMMAND_HANGUP;
    }
    if (!parse(args, &chunk)) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "%s: malformed BDAT command syntax from %s: BDAT%s" SLICE_FMT,
            session_queue_id(s, id), s->peer.text, args.len > 0 ? " " : "",
            SLICE_ARG(slice_head(args, 95)));
        reply(s, 521, "5.5.4 Syntax: BDAT count [LAST]");
        return COMMAND_HANGUP;
    }
    if (chunk.size == 0 && !chunk.last) {
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "%s: null BDAT request from %s", session_queue_id(s, id),
            s->peer.text);
        reply(s, 551, "5.7.1 Null BDAT request");
        s->mail.chunks = CHUNKS_FAILED;
        return COMMAND_BAD;
    }
    return take(s, &chunk);
}
