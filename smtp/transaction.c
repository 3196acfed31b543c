#include "smtp/transaction.h"

#include "lib/base/clock.h"
#include "smtp/command.h"
#include "smtp/payload.h"

#include <inttypes.h>
#include <sched.h>

enum {
    /*
     * Commands of one group, in octets and number: a server that does not read
     * on before its replies are taken must be able to put these into its and
     * our socket buffers.
     */
    GROUP_OCTETS = 8192,
    GROUP_COMMANDS = 200,
    LIST_RCPTS = 10, /* from so many on a delivery is taken for a list's */
};

enum verb { VERB_RSET, VERB_MAIL, VERB_RCPT, VERB_DATA };

struct exchange {
    struct job *job;
    struct session *session;
    bool rset_due, mail_due, data_due;
    size_t send_at, receive_at; /* recipients */
    size_t asked, accepted;     /* RCPTs without reply; accepted ones */
    bool mail_refused;
    bool reused;   /* the session carried mail before */
    bool answered; /* MAIL was, by other than "go away" */
    bool ready;    /* 354 */
    bool verifies; /* a probe: nothing is to be delivered */
    struct buf line;
    int64_t deadline; /* of what is being written */
};

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
        if (command_mail(job, x->session->features, &x->line) &&
            !buf_failed(&x->line))
            break;
        excuse_set(&job->scratch, "5.1.7", "bad sender address syntax");
        x->mail_refused = true;
        job_fail(job, &job->scratch, NULL);
        return false;
    case VERB_RCPT:
        if (command_rcpt(job, x->session->features,
                &job->delivery.recipients[x->send_at].rcpt, &x->line) &&
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

/* smtp_address_verify_target: some hosts look at recipients only then. */
static bool
verifies_by_data(const struct session *s)
{
    return strcmp(s->profile.config->smtp_address_verify_target, "data") == 0;
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
    if (reply_class(&s->reply) == 2 && x->verifies && !verifies_by_data(s)) {
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

/*
 * A list's deliveries can keep a core busy for milliseconds on end. Between
 * their steps whoever waits for it goes first: the single message whose flush
 * is over, and its client.
 */
static void
give_way(const struct exchange *x)
{
    if (x->job->delivery.recipient_count >= LIST_RCPTS)
        (void)sched_yield();
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
        give_way(x);
        for (size_t i = 0; i < n; i++)
            if (!take_reply(x, (enum verb)group[i]))
                return false;
        give_way(x);
    }
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

    if ((s->features & SESSION_SMTPUTF8) != 0 || !command_needs_smtputf8(job))
        return false;
    excuse_set(&job->excuse, "5.6.7",
        "SMTPUTF8 is required, but was not offered by host %s", s->name);
    job_fail(job, &job->excuse, s);
    return true;
}

/* The session broke: what is not settled fails with it, or tries elsewhere. */
static void
session_broke(struct exchange *x, bool own_fault)
{
    struct job *job = x->job;

    if (job_is_orphan(job) || fiber_cancelled())
        return;
    if (job->final && !own_fault)
        job_destination(job, DESTINATION_DEAD, &job->excuse);
    job_fail(job, &job->excuse, x->session);
}

static enum transaction_end
transact(struct exchange *x)
{
    struct session *s = x->session;
    enum payload_end sent;

    if (is_too_large(x) || is_foreign(x))
        return TRANSACTION_DONE;
    if (!run_commands(x)) {
        s->dead = true;
        if (x->reused && !x->answered && !fiber_cancelled()) {
            job_reopen(x->job);
            return TRANSACTION_STALE;
        }
        session_broke(x, false);
        return TRANSACTION_DONE;
    }
    if (x->ready && x->verifies && x->accepted > 0) {
        /* The final dot would deliver: there is no other way out. */
        for (size_t i = 0; i < x->job->delivery.recipient_count; i++)
            if (x->job->states[i] == RCPT_ACCEPTED)
                job_sent(x->job, i, s);
        s->dead = true;
        return TRANSACTION_DONE;
    }
    if (x->ready && x->accepted == 0) {
        if (!send_nothing(x))
            s->dead = true;
        return TRANSACTION_DONE;
    }
    if (!x->ready)
        return TRANSACTION_DONE;
    sent = payload_send(x->job, s);
    if (sent != PAYLOAD_SENT || !take_final_replies(x))
        session_broke(x, sent == PAYLOAD_UNREADABLE);
    give_way(x);
    return TRANSACTION_DONE;
}

enum transaction_end
transaction_run(struct job *job, struct session *session)
{
    bool verifies = envelope_is_probe(&job->delivery.envelope);
    struct exchange x = {
        .job = job,
        .session = session,
        .reused = session->uses > 0,
        .rset_due = session->needs_rset,
        .mail_due = true,
        .verifies = verifies,
        /* Else a probe ends at RCPT: RSET or QUIT is next. */
        .data_due = !verifies || verifies_by_data(session),
    };
    enum transaction_end end;

    buf_init(&x.line, COMMAND_MAX);
    end = transact(&x);
    buf_fini(&x.line);
    return end;
}
