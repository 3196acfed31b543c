#include "smtp/transaction.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/printable.h"
#include "lib/mail/address.h"
#include "lib/mail/content.h"
#include "smtp/dots.h"

#include <inttypes.h>

enum {
    /*
     * Commands of one group, in octets and number: a server that does not read
     * on before its replies are taken must be able to put these into its and
     * our socket buffers.
     */
    GROUP_OCTETS = 8192,
    GROUP_COMMANDS = 200,
    ADDRESS_MAX = 1024,      /* octets in external form */
    PARAMETER_MAX = 4 * 512, /* of one ESMTP value after encoding */
};

enum verb { VERB_RSET, VERB_MAIL, VERB_RCPT, VERB_DATA };

struct exchange {
    struct job *job;
    struct session *session;
    bool rset_due, mail_due, data_due;
    size_t send_at, receive_at; /* recipients */
    size_t asked, accepted;     /* RCPTs without reply; accepted ones */
    bool mail_refused;
    bool reused;    /* the session carried mail before */
    bool answered;  /* MAIL was, by other than "go away" */
    bool ready;     /* 354 */
    bool own_fault; /* the server is not to blame */
    struct buf line;
    int64_t deadline; /* of what is being written */
};

/* RFC 3461 section 4 */
static void
add_xtext(struct buf *to, struct slice text)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];

        if (c > 32 && c < 127 && c != '+' && c != '=') {
            buf_add_octet(to, c);
        } else {
            buf_add_octet(to, '+');
            buf_add_octet(to, (unsigned char)hex[c >> 4]);
            buf_add_octet(to, (unsigned char)hex[c & 15]);
        }
    }
}

/*
 * Nothing else gets into the queue, but a command or parameter that a stranger
 * wrote must not follow from a mistake: the domain stands without quotes.
 */
static bool
is_harmless(struct slice address)
{
    struct slice local, domain;

    (void)address_split(address, &local, &domain);
    for (size_t i = 0; i < local.len; i++)
        if ((unsigned char)local.ptr[i] < ' ' || local.ptr[i] == 127)
            return false;
    for (size_t i = 0; i < domain.len; i++)
        if ((unsigned char)domain.ptr[i] <= ' ' || domain.ptr[i] == 127 ||
            domain.ptr[i] == '<' || domain.ptr[i] == '>')
            return false;
    return true;
}

/* False: it cannot stand on a command line. */
static bool
add_path(struct exchange *x, struct slice address)
{
    if (!is_harmless(address))
        return false;
    if (address.len > ADDRESS_MAX)
        return false;
    buf_add_octet(&x->line, '<');
    if (x->job->profile.config->smtp_quote_rfc821_envelope)
        address_quote(address, &x->line);
    else
        buf_add(&x->line, address);
    buf_add_octet(&x->line, '>');
    return true;
}

static bool
is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.ptr[i] > 127)
            return false;
    return true;
}

/*
 * RFC 6531 section 3.1: addresses in UTF-8, or a header in it whose sender said
 * so; 8-bit headers of others are passed on as they always were.
 */
static bool
needs_smtputf8(const struct job *job)
{
    const struct delivery *d = &job->delivery;

    if (!job->profile.config->smtputf8_enable)
        return false;
    if (!is_ascii(d->envelope.sender))
        return true;
    for (size_t i = 0; i < d->recipient_count; i++)
        if (!is_ascii(d->recipients[i].rcpt.address))
            return true;
    return (d->envelope.flags & ENVELOPE_UTF8) != 0 && !is_ascii(d->header) &&
        utf8_is_valid(d->header);
}

static bool
put_mail(struct exchange *x)
{
    const struct envelope *env = &x->job->delivery.envelope;
    unsigned features = x->session->features;

    buf_add_text(&x->line, "MAIL FROM:");
    if (!add_path(x, env->sender))
        return false;
    if ((features & SESSION_SIZE) != 0)
        buf_add_format(&x->line, " SIZE=%" PRIu64, env->size);
    if ((features & SESSION_8BITMIME) != 0 && (env->flags & ENVELOPE_8BIT) != 0)
        buf_add_text(&x->line, " BODY=8BITMIME");
    if ((features & SESSION_SMTPUTF8) != 0 && needs_smtputf8(x->job))
        buf_add_text(&x->line, " SMTPUTF8");
    if ((features & SESSION_DSN) != 0) {
        if (env->ret != RET_UNSET)
            buf_add_format(&x->line, " RET=%s",
                env->ret == RET_FULL ? "FULL" : "HDRS");
        if (env->envid.len > 0) {
            buf_add_text(&x->line, " ENVID=");
            add_xtext(&x->line, env->envid);
        }
    }
    return true;
}

static void
add_notify(struct buf *to, uint32_t notify)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } words[] = {
        { NOTIFY_NEVER, "NEVER" },
        { NOTIFY_SUCCESS, "SUCCESS" },
        { NOTIFY_FAILURE, "FAILURE" },
        { NOTIFY_DELAY, "DELAY" },
    };
    const char *comma = " NOTIFY=";

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if ((notify & words[i].bit) == 0)
            continue;
        buf_add_format(to, "%s%s", comma, words[i].word);
        comma = ",";
    }
}

/* The original recipient as the sender gave it, else as it came to us. */
static void
add_orcpt(struct buf *to, const struct recipient *r)
{
    size_t n = slice_find(r->orcpt, ';');

    if (n < r->orcpt.len && atom_is_valid(slice_head(r->orcpt, n))) {
        buf_add_format(to, " ORCPT=" SLICE_FMT ";",
            SLICE_ARG(slice_head(r->orcpt, n)));
        add_xtext(to, slice_skip(r->orcpt, n + 1));
    } else if (r->original.len > 0) {
        struct buf quoted;

        buf_init(&quoted, ADDRESS_MAX);
        address_quote(r->original, &quoted);
        buf_add_text(to, " ORCPT=rfc822;");
        add_xtext(to, buf_slice(&quoted));
        buf_fini(&quoted);
    }
}

static bool
put_rcpt(struct exchange *x, const struct recipient *r)
{
    buf_add_text(&x->line, "RCPT TO:");
    if (!add_path(x, r->address))
        return false;
    if ((x->session->features & SESSION_DSN) != 0) {
        add_orcpt(&x->line, r);
        add_notify(&x->line, r->notify);
    }
    return true;
}

/* The next recipient in a state, from *at on; the count when there is none. */
static size_t
next_in_state(const struct job *job, enum rcpt_state state, size_t at)
{
    while (at < job->delivery.recipient_count && job->states[at] != state)
        at++;
    return at;
}

static bool
next_verb(struct exchange *x, enum verb *verb)
{
    if (x->rset_due) {
        *verb = VERB_RSET;
        return true;
    }
    if (x->mail_due) {
        *verb = VERB_MAIL;
        return true;
    }
    if (x->mail_refused)
        return false;
    x->send_at = next_in_state(x->job, RCPT_OPEN, x->send_at);
    if (x->send_at < x->job->delivery.recipient_count) {
        *verb = VERB_RCPT;
        return true;
    }
    *verb = VERB_DATA;
    return x->data_due && x->asked + x->accepted > 0;
}

/* False: nothing was sent for it, and the recipient or all are settled. */
static bool
put_command(struct exchange *x, enum verb verb)
{
    struct job *job = x->job;

    buf_clear(&x->line);
    switch (verb) {
    case VERB_RSET:
        x->rset_due = false;
        buf_add_text(&x->line, "RSET");
        break;
    case VERB_MAIL:
        x->mail_due = false;
        x->session->uses++;
        x->session->needs_rset = true;
        if (put_mail(x) && !buf_failed(&x->line))
            break;
        excuse_set(&job->scratch, "5.1.7", "bad sender address syntax");
        x->mail_refused = true;
        job_fail(job, &job->scratch, NULL);
        return false;
    case VERB_RCPT:
        if (put_rcpt(x, &job->delivery.recipients[x->send_at].rcpt) &&
            !buf_failed(&x->line)) {
            job->states[x->send_at++] = RCPT_ASKED;
            x->asked++;
            break;
        }
        excuse_set(&job->scratch, "5.1.3", "bad recipient address syntax");
        job_settle(job, x->send_at++, OUTCOME_BOUNCED, &job->scratch, NULL);
        return false;
    case VERB_DATA:
        x->data_due = false;
        buf_add_text(&x->line, "DATA");
        break;
    }
    buf_add_text(&x->line, "\r\n");
    stream_write(x->session->stream, buf_slice(&x->line), x->deadline);
    return true;
}

/* Send the next commands; their verbs are in group. */
static size_t
put_group(struct exchange *x, unsigned char group[GROUP_COMMANDS])
{
    bool pipelining = (x->session->features & SESSION_PIPELINING) != 0;
    size_t octets = 0, n = 0;
    enum verb verb;

    while (n < GROUP_COMMANDS && octets < GROUP_OCTETS && next_verb(x, &verb)) {
        if (!put_command(x, verb))
            continue;
        octets += x->line.len;
        group[n++] = (unsigned char)verb;
        if (!pipelining || verb == VERB_DATA)
            break;
    }
    return n;
}

static void
said(struct exchange *x, struct excuse *excuse, const char *command)
{
    const struct session *s = x->session;

    excuse_from_reply(excuse, s->name, s->host, &s->reply, command);
    if (s->closing && x->job->final)
        job_destination(x->job, DESTINATION_BUSY, excuse);
}

static bool
take_mail(struct exchange *x)
{
    struct session *s = x->session;
    struct job *job = x->job;

    if (s->reply.code == 421 && x->reused)
        return false;
    x->answered = true;
    if (reply_class(&s->reply) == 2)
        return true;
    x->mail_refused = true;
    said(x, &job->excuse, "MAIL FROM command");
    if (!s->closing || !job->final || !job_return(job, &job->excuse))
        job_fail(job, &job->excuse, s);
    return true;
}

static void
take_rcpt(struct exchange *x)
{
    struct session *s = x->session;
    struct job *job = x->job;
    size_t i = next_in_state(job, RCPT_ASKED, x->receive_at);

    x->asked--;
    x->receive_at = i + 1;
    if (x->mail_refused || i == job->delivery.recipient_count)
        return;
    if (reply_class(&s->reply) == 2 &&
        envelope_is_probe(&job->delivery.envelope)) {
        job_sent(job, i, s);
        return;
    }
    if (reply_class(&s->reply) == 2) {
        job->states[i] = RCPT_ACCEPTED;
        x->accepted++;
        return;
    }
    /*
     * "Too many recipients" had no other code in RFC 821: section 4.5.3.1.10 of
     * RFC 5321 asks to take it for 452. Without 5.5.3 a 552 is a full mailbox.
     */
    if (s->reply.code == 552 && strcmp(s->reply.status, "5.5.3") == 0) {
        s->reply.code = 452;
        s->reply.status[0] = '4';
    }
    said(x, &job->scratch, "RCPT TO command");
    job_fail_recipient(job, i, &job->scratch, s);
    if (job->states[i] == RCPT_OPEN)
        job->excuse = job->scratch;
}

static void
take_data(struct exchange *x)
{
    struct session *s = x->session;
    struct job *job = x->job;

    if (reply_class(&s->reply) == 3) {
        x->ready = true;
        return;
    }
    if (x->mail_refused || x->accepted == 0)
        return;
    said(x, &job->excuse, "DATA command");
    job_fail_accepted(job, &job->excuse, s);
    x->accepted = 0;
}

/* What one verb waits for. */
static int64_t
verb_timeout(const struct config *config, enum verb verb, const char **stage)
{
    switch (verb) {
    case VERB_RSET:
        *stage = "sending RSET probe";
        return config->smtp_rset_timeout;
    case VERB_MAIL:
        *stage = "sending MAIL FROM";
        return config->smtp_mail_timeout;
    case VERB_RCPT:
        *stage = "sending RCPT TO";
        return config->smtp_rcpt_timeout;
    case VERB_DATA:
        break;
    }
    *stage = "sending DATA command";
    return config->smtp_data_init_timeout;
}

/* False: the session is dead, or was before we began. */
static bool
take_reply(struct exchange *x, enum verb verb)
{
    struct session *s = x->session;
    const char *stage;
    int64_t timeout = verb_timeout(s->profile.config, verb, &stage);

    if (!session_reply(s, timeout, stage, &x->job->excuse))
        return false;
    switch (verb) {
    case VERB_RSET:
        return reply_class(&s->reply) == 2;
    case VERB_MAIL:
        return take_mail(x);
    case VERB_RCPT:
        take_rcpt(x);
        return true;
    case VERB_DATA:
        take_data(x);
        return true;
    }
    return true;
}

/* Everything up to 354. False: the session is of no use any more. */
static bool
run_commands(struct exchange *x)
{
    unsigned char group[GROUP_COMMANDS];
    const char *stage;
    size_t n;

    for (;;) {
        x->deadline = clock_now_ms() +
            x->session->profile.config->smtp_mail_timeout;
        n = put_group(x, group);
        if (n == 0)
            return true;
        (void)verb_timeout(x->session->profile.config, group[0], &stage);
        if (!session_flush(x->session,
                x->session->profile.config->smtp_mail_timeout, stage,
                &x->job->excuse))
            return false;
        for (size_t i = 0; i < n; i++)
            if (!take_reply(x, (enum verb)group[i]))
                return false;
    }
}

static void
write_content(void *context, struct slice octets)
{
    struct exchange *x = context;

    stream_write(x->session->stream, octets, x->deadline);
}

enum sent {
    SENT_ALL,     /* the final dot is on its way */
    SENT_NOT,     /* the session is dead, no dot was sent */
    SENT_PERHAPS, /* the session is dead, the dot may have arrived */
};

/* The content cannot be read: our trouble, which no other host can cure. */
static enum sent
content_failed(struct exchange *x, const struct why *why)
{
    struct job *job = x->job;

    log_write(LOG_LEVEL_WARNING, job->profile.tag, "%s", why->text);
    excuse_set(&job->excuse, "4.3.0", "local data error while talking to %s",
        x->session->name);
    x->session->dead = true;
    x->own_fault = true;
    job->final = true;
    return SENT_NOT;
}

static enum sent
send_pieces(struct exchange *x, struct content *content, char *scratch)
{
    static const char *const body = "sending message body";
    static const char *const end =
        "sending end of data -- message may be sent more than once";
    struct job *job = x->job;
    int64_t timeout = job->profile.config->smtp_data_xfer_timeout;
    struct dots dots = {
        .limit = (size_t)job->profile.config->smtp_line_length_limit,
        .write = write_content,
        .context = x,
    };
    struct slice piece;
    uint64_t sent = 0;
    struct why why;

    for (;;) {
        if (content_next(content, scratch, &piece, &why) != RESULT_OK)
            return content_failed(x, &why);
        if (piece.len == 0)
            break;
        x->deadline = clock_now_ms() + timeout;
        dots_add(&dots, piece);
        sent += piece.len;
    }
    /* So that what broke before the dot is known to have been before it. */
    if (sent > STREAM_WRITE_BUFFER &&
        !session_flush(x->session, timeout, body, &job->excuse))
        return SENT_NOT;
    if (job_is_orphan(job)) {
        x->session->dead = true;
        excuse_set(&job->excuse, "4.3.0", "queue manager is gone");
        return SENT_NOT;
    }
    x->deadline = clock_now_ms() + timeout;
    dots_end(&dots);
    return session_flush(x->session, timeout, end, &job->excuse) ? SENT_ALL
                                                                 : SENT_PERHAPS;
}

static enum sent
send_content(struct exchange *x)
{
    const struct delivery *d = &x->job->delivery;
    struct content content = {
        .header = d->header,
        .body = d->body,
        .fd = d->fd,
        .length = d->body_length,
        .crc = d->body_crc,
    };
    char unused[1], *scratch = unused;
    enum sent sent;

    content_rewind(&content);
    if (d->fd >= 0) {
        scratch = mem_try_alloc(CONTENT_PIECE);
        if (scratch == NULL) {
            struct why why;

            (void)why_temp(&why, "4.3.0", "no memory for the content");
            return content_failed(x, &why);
        }
    }
    sent = send_pieces(x, &content, scratch);
    if (scratch != unused)
        mem_free(scratch);
    return sent;
}

/* One reply for each recipient (LMTP), or one for all. False: dead. */
static bool
take_final_replies(struct exchange *x)
{
    static const char *const stage =
        "sending end of data -- message may be sent more than once";
    struct job *job = x->job;
    struct session *s = x->session;
    int64_t timeout = job->profile.config->smtp_data_done_timeout;

    for (size_t i = 0; i < job->delivery.recipient_count; i++) {
        if (job->states[i] != RCPT_ACCEPTED)
            continue;
        if (!session_reply(s, timeout, stage, &job->excuse))
            return false;
        if (reply_class(&s->reply) == 2 && job->profile.lmtp) {
            job_sent(job, i, s);
        } else if (reply_class(&s->reply) == 2) {
            for (; i < job->delivery.recipient_count; i++)
                if (job->states[i] == RCPT_ACCEPTED)
                    job_sent(job, i, s);
        } else if (job->profile.lmtp) {
            said(x, &job->excuse, "end of DATA command");
            job_fail_recipient(job, i, &job->excuse, s);
        } else {
            said(x, &job->excuse, "end of DATA command");
            job_fail_accepted(job, &job->excuse, s);
            break;
        }
    }
    s->needs_rset = false;
    return true;
}

/*
 * The server took DATA although no recipient is left: end it with nothing in
 * it. Whatever the reply, the transaction is over.
 */
static bool
send_nothing(struct exchange *x)
{
    struct session *s = x->session;
    int64_t timeout = s->profile.config->smtp_data_done_timeout;

    stream_write(s->stream, SLICE_LIT(".\r\n"), clock_now_ms() + timeout);
    if (!session_flush(s, timeout, "sending end of data", &x->job->scratch) ||
        !session_reply(s, timeout, "sending end of data", &x->job->scratch))
        return false;
    s->needs_rset = false;
    return true;
}

/* The message is larger than the server said it takes: RFC 1870 section 6. */
static bool
is_too_large(struct exchange *x)
{
    struct job *job = x->job;
    const struct session *s = x->session;

    if (s->size_limit == 0 || job->delivery.envelope.size <= s->size_limit)
        return false;
    excuse_set(&job->excuse, "5.3.4",
        "message size %" PRIu64 " exceeds size limit %" PRIu64 " of server %s",
        job->delivery.envelope.size, s->size_limit, s->name);
    job_fail(job, &job->excuse, s);
    return true;
}

/* RFC 6531 section 3.5: nothing else may be made of it. */
static bool
is_foreign(struct exchange *x)
{
    struct job *job = x->job;
    const struct session *s = x->session;

    if ((s->features & SESSION_SMTPUTF8) != 0 || !needs_smtputf8(job))
        return false;
    excuse_set(&job->excuse, "5.6.7",
        "SMTPUTF8 is required, but was not offered by host %s", s->name);
    job_fail(job, &job->excuse, s);
    return true;
}

/* The session broke: what is not settled fails with it, or tries elsewhere. */
static void
session_broke(struct exchange *x)
{
    struct job *job = x->job;

    if (job_is_orphan(job) || fiber_cancelled())
        return;
    if (job->final && !x->own_fault)
        job_destination(job, DESTINATION_DEAD, &job->excuse);
    job_fail(job, &job->excuse, x->session);
}

static enum transaction_end
transact(struct exchange *x)
{
    struct session *s = x->session;

    if (is_too_large(x) || is_foreign(x))
        return TRANSACTION_DONE;
    if (!run_commands(x)) {
        s->dead = true;
        if (x->reused && !x->answered && !fiber_cancelled()) {
            job_reopen(x->job);
            return TRANSACTION_STALE;
        }
        session_broke(x);
        return TRANSACTION_DONE;
    }
    if (x->ready && x->accepted == 0) {
        if (!send_nothing(x))
            s->dead = true;
        return TRANSACTION_DONE;
    }
    if (!x->ready)
        return TRANSACTION_DONE;
    if (send_content(x) != SENT_ALL || !take_final_replies(x))
        session_broke(x);
    return TRANSACTION_DONE;
}

enum transaction_end
transaction_run(struct job *job, struct session *session)
{
    struct exchange x = {
        .job = job,
        .session = session,
        .reused = session->uses > 0,
        .rset_due = session->needs_rset,
        .mail_due = true,
        /* A probe ends here: RSET or QUIT comes next, as for who is refused. */
        .data_due = !envelope_is_probe(&job->delivery.envelope),
    };
    enum transaction_end end;

    buf_init(&x.line, ADDRESS_MAX + 2 * PARAMETER_MAX);
    end = transact(&x);
    buf_fini(&x.line);
    return end;
}
