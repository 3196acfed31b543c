#include "smtpd/access.h"

#include "smtpd/recipient.h"
#include "smtpd/restriction.h"
#include "smtpd/session.h"

static bool
settle(struct evaluation *e, enum verdict verdict)
{
    if (evaluation_end(e, verdict) != VERDICT_REFUSED)
        return true;
    session_log_refusal(e->s, "reject", e->no);
    return false;
}

/* The lists of an array of stages, until one refuses. */
static enum verdict
run_stages(struct evaluation *e, const enum stage *stages, size_t count)
{
    enum verdict verdict = VERDICT_NONE;

    for (size_t i = 0; verdict != VERDICT_REFUSED && i < count; i++)
        verdict = evaluation_run(e, stages[i]);
    return verdict;
}

static bool
run_alone(struct session *s, enum stage stage, struct refusal *no)
{
    struct evaluation e;

    evaluation_begin(&e, s, no);
    return settle(&e, evaluation_run(&e, stage));
}

bool
access_client(struct session *s, struct refusal *no)
{
    return s->config->smtpd_delay_reject || run_alone(s, STAGE_CLIENT, no);
}

bool
access_helo(struct session *s, struct refusal *no)
{
    return s->config->smtpd_delay_reject || run_alone(s, STAGE_HELO, no);
}

bool
access_sender(struct session *s, struct refusal *no)
{
    return s->config->smtpd_delay_reject || run_alone(s, STAGE_SENDER, no);
}

/* What is asked of a recipient, also of one in VRFY. */
static enum verdict
run_recipient(struct evaluation *e)
{
    static const enum stage relay_first[] = { STAGE_RELAY, STAGE_RECIPIENT };
    static const enum stage relay_last[] = { STAGE_RECIPIENT, STAGE_RELAY };
    const struct config *config = e->s->config;
    enum verdict verdict = run_stages(e,
        config->smtpd_relay_before_recipient_restrictions ? relay_first
                                                          : relay_last,
        2);

    if (verdict != VERDICT_REFUSED && config->smtpd_reject_unlisted_recipient &&
        !e->s->profile->stand_alone)
        verdict = recipient_refuse_unlisted(e);
    return verdict;
}

static enum verdict
run_delayed(struct evaluation *e)
{
    static const enum stage delayed[] = { STAGE_CLIENT, STAGE_HELO,
        STAGE_SENDER };

    return e->s->config->smtpd_delay_reject
        ? run_stages(e, delayed, sizeof(delayed) / sizeof(delayed[0]))
        : VERDICT_NONE;
}

/* RFC 5321 section 4.5.1: there is always a postmaster, and for everybody. */
static bool
is_postmaster(const struct session *s)
{
    return slice_eq_nocase(s->recipient, SLICE_LIT("postmaster"));
}

bool
access_recipient(struct session *s, struct refusal *no)
{
    struct evaluation e;
    enum verdict verdict;

    if (is_postmaster(s))
        return true;
    evaluation_begin(&e, s, no);
    verdict = run_delayed(&e);
    if (verdict != VERDICT_REFUSED && s->config->smtpd_reject_unlisted_sender &&
        !s->profile->stand_alone)
        verdict = sender_refuse_unlisted(&e);
    if (verdict != VERDICT_REFUSED)
        verdict = run_recipient(&e);
    return settle(&e, verdict);
}

bool
access_verify(struct session *s, struct refusal *no)
{
    struct evaluation e;
    enum verdict verdict;

    if (is_postmaster(s))
        return true;
    evaluation_begin(&e, s, no);
    verdict = run_delayed(&e);
    if (verdict != VERDICT_REFUSED)
        verdict = run_recipient(&e);
    return settle(&e, verdict);
}

bool
access_data(struct session *s, struct refusal *no)
{
    return run_alone(s, STAGE_DATA, no);
}

bool
access_end_of_data(struct session *s, struct refusal *no)
{
    return run_alone(s, STAGE_END_OF_DATA, no);
}

bool
access_rewrites_headers(struct session *s)
{
    struct evaluation e;
    struct refusal no;

    evaluation_begin(&e, s, &no);
    return evaluation_run(&e, STAGE_REWRITE) == VERDICT_PERMIT;
}
