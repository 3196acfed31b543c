#include "smtpd/access.h"

#include "lib/base/mem.h"
#include "lib/mail/rewrite.h"
#include "smtpd/evaluation.h"
#include "smtpd/recipient.h"
#include "smtpd/session.h"

static bool
settle(struct evaluation *e, enum verdict verdict)
{
    if (evaluation_end(e, verdict) != VERDICT_REFUSED)
        return true;
    session_log_refusal(e->s, "reject", e->no);
    return false;
}

static bool
run_alone(struct session *s, enum stage stage, struct refusal *no)
{
    struct evaluation e;

    evaluation_begin(&e, s, no);
    return settle(&e, evaluation_run(&e, stage));
}

/*
 * The lists of client, helo and sender, at their own commands or all of them at
 * RCPT. What the first ones put off (defer_if_permit) is due at RCPT.
 */

/* Who has said no HELO, or no MAIL, is not judged by it. */
static bool
has_subject(const struct session *s, enum stage stage)
{
    return stage == STAGE_HELO  ? s->helo != NULL
        : stage == STAGE_SENDER ? s->mail.open
                                : true;
}

/* What is asked of a sender besides its list. */
static enum verdict
run_early(struct evaluation *e, enum stage stage)
{
    enum verdict verdict;

    if (!has_subject(e->s, stage))
        return VERDICT_NONE;
    verdict = evaluation_run(e, stage);

    if (stage == STAGE_SENDER && verdict != VERDICT_REFUSED &&
        e->s->config->smtpd_reject_unlisted_sender &&
        !e->s->profile->stand_alone && !e->s->mail.actions.discard)
        verdict = sender_refuse_unlisted(e);
    return verdict;
}

static void
put_off(struct session *s, enum stage stage, const struct refusal *until_rcpt)
{
    mem_free(s->put_off[stage]);
    s->put_off[stage] = NULL;
    if (until_rcpt->code == 0)
        return;
    s->put_off[stage] = mem_alloc(sizeof(*until_rcpt));
    *s->put_off[stage] = *until_rcpt;
}

/*
 * What was put off by stage and before it. Each has what came before it besides
 * its own, but there may have been none: a client need not say HELO.
 */
static void
recall(struct evaluation *e, enum stage stage)
{
    const struct refusal *r = NULL;

    for (size_t i = 0; i <= stage; i++)
        if (e->s->put_off[i] != NULL)
            r = e->s->put_off[i];
    if (r != NULL)
        e->if_permit = *r;
}

static bool
run_at_once(struct session *s, enum stage stage, struct refusal *no)
{
    struct evaluation e;

    if (s->config->smtpd_delay_reject)
        return true;
    evaluation_begin(&e, s, no);
    if (stage > STAGE_CLIENT)
        recall(&e, stage - 1);
    if (run_early(&e, stage) == VERDICT_REFUSED) {
        session_log_refusal(s, "reject", no);
        return false;
    }
    put_off(s, stage, &e.if_permit);
    return true;
}

bool
access_client(struct session *s, struct refusal *no)
{
    return run_at_once(s, STAGE_CLIENT, no);
}

bool
access_helo(struct session *s, struct refusal *no)
{
    return run_at_once(s, STAGE_HELO, no);
}

bool
access_sender(struct session *s, struct refusal *no)
{
    return run_at_once(s, STAGE_SENDER, no);
}

/* Up to and including last, where they are delayed. */
static enum verdict
run_delayed(struct evaluation *e, enum stage last)
{
    enum verdict verdict = VERDICT_NONE;

    if (!e->s->config->smtpd_delay_reject) {
        recall(e, last);
        return VERDICT_NONE;
    }
    for (enum stage stage = STAGE_CLIENT;
         stage <= last && verdict != VERDICT_REFUSED; stage++)
        verdict = run_early(e, stage);
    return verdict;
}

/* RCPT, and VRFY, which asks the same of an address */

enum asked { ASKED_FOR_MAIL, ASKED_TO_VERIFY };

/* Not asked where the restrictions have refused, put off or discarded. */
static bool
wants_listed(const struct evaluation *e)
{
    return e->s->config->smtpd_reject_unlisted_recipient &&
        !e->s->profile->stand_alone && !e->s->mail.actions.discard;
}

static enum verdict
run_recipient(struct evaluation *e, enum asked what)
{
    static const enum stage relay_first[] = { STAGE_RELAY, STAGE_RECIPIENT };
    static const enum stage relay_last[] = { STAGE_RECIPIENT, STAGE_RELAY };
    const struct config *config = e->s->config;
    const enum stage *order = config->smtpd_relay_before_recipient_restrictions
        ? relay_first
        : relay_last;
    enum verdict verdict = evaluation_run(e, order[0]);

    if (verdict != VERDICT_REFUSED)
        verdict = evaluation_run(e, order[1]);
    /* VRFY without MAIL brings nothing that could be put off. */
    if (what == ASKED_FOR_MAIL || e->s->mail.open)
        verdict = evaluation_end(e, verdict);
    e->if_permit.code = 0;
    if (verdict != VERDICT_REFUSED && wants_listed(e))
        verdict = recipient_refuse_unlisted(e);
    return verdict;
}

/* RFC 5321 section 4.5.1: there is always a postmaster, and for everybody. */
static bool
is_postmaster(const struct session *s)
{
    return slice_eq_nocase(s->recipient, SLICE_LIT("postmaster"));
}

static bool
allows_recipient(struct session *s, enum asked what, struct refusal *no)
{
    struct evaluation e;
    enum verdict verdict;

    if (is_postmaster(s))
        return true;
    evaluation_begin(&e, s, no);
    verdict = run_delayed(&e, STAGE_SENDER);
    if (verdict != VERDICT_REFUSED)
        verdict = run_recipient(&e, what);
    return settle(&e, verdict);
}

bool
access_recipient(struct session *s, struct refusal *no)
{
    return allows_recipient(s, ASKED_FOR_MAIL, no);
}

bool
access_for_rcpt(struct session *s, struct refusal *no)
{
    return access_client(s, no) && access_helo(s, no) && access_sender(s, no) &&
        access_recipient(s, no);
}

bool
access_verify(struct session *s, struct refusal *no)
{
    return allows_recipient(s, ASKED_TO_VERIFY, no);
}

bool
access_etrn(struct session *s, struct refusal *no)
{
    struct evaluation e;
    enum verdict verdict;

    evaluation_begin(&e, s, no);
    verdict = run_delayed(&e, STAGE_HELO);
    if (verdict != VERDICT_REFUSED)
        verdict = evaluation_run(&e, STAGE_ETRN);
    return settle(&e, verdict);
}

/*
 * DATA and the end of data are about all recipients: only one that is alone is
 * told, to restrictions and in the log.
 */
static bool
run_for_message(struct session *s, enum stage stage, struct refusal *no)
{
    const struct envelope *env = &s->mail.envelope;
    struct slice rewritten;
    struct why why;
    bool ok;

    if (s->profile->lists[stage].count == 0)
        return true;
    s->no_recipient = env->recipient_count != 1;
    if (!s->no_recipient) {
        if (rewrite_address(s->profile->rewrite, REWRITE_LOCAL,
                env->recipients[0].address, &s->mail.arena, &rewritten,
                &why) != RESULT_OK)
            return refusal_set(no, 451, why.status, "%s", why.text);
        s->recipient = env->recipients[0].address;
        s->recipient_rewritten = rewritten;
    }
    ok = run_alone(s, stage, no);
    s->no_recipient = false;
    s->recipient = s->recipient_rewritten = (struct slice){ NULL, 0 };
    return ok;
}

bool
access_data(struct session *s, struct refusal *no)
{
    return run_for_message(s, STAGE_DATA, no);
}

bool
access_end_of_data(struct session *s, struct refusal *no)
{
    return run_for_message(s, STAGE_END_OF_DATA, no);
}

bool
access_rewrites_headers(struct session *s)
{
    struct evaluation e;
    struct refusal no;

    evaluation_begin(&e, s, &no);
    return evaluation_run(&e, STAGE_REWRITE) == VERDICT_PERMIT;
}
