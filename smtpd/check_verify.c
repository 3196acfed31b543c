/*
 * check_verify - reject_unverified_sender and reject_unverified_recipient: does
 * the host that an address leads to take mail for it?
 */
#include "lib/base/log.h"
#include "smtpd/checks.h"
#include "smtpd/probe.h"
#include "smtpd/session.h"

/* What the parameters say of a sender or a recipient. */
struct handling {
    struct subject about;
    int64_t defer_code, reject_code;
    const char *reason, *tempfail_action;
    const char *status;
};

static enum verdict
no_answer(struct evaluation *e, const struct handling *h)
{
    log_write(LOG_LEVEL_WARNING, e->s->profile->tag, "verify service failure");
    return evaluation_defer_if_permit(e, h->tempfail_action, 450, h->status,
        "<" SLICE_FMT ">: %s rejected: address verification problem",
        SLICE_ARG(h->about.text), subject_name(h->about.class));
}

/* As Postfix: what is said, and when, goes by the code. */
static enum verdict
refuse(struct evaluation *e, const struct handling *h, int code,
    struct slice reason)
{
    enum { REASON_MAX = 250 };

    switch (code / 100) {
    case 2:
        return VERDICT_NONE;
    case 4:
        reason = slice_head(reason, REASON_MAX);
        return evaluation_defer_if_permit(e, h->tempfail_action, code,
            h->status,
            "<" SLICE_FMT ">: %s rejected: unverified address: " SLICE_FMT,
            SLICE_ARG(h->about.text), subject_name(h->about.class),
            SLICE_ARG(reason));
    default:
        return evaluation_refuse(e, code, h->status,
            "<" SLICE_FMT ">: %s rejected: undeliverable address: " SLICE_FMT,
            SLICE_ARG(h->about.text), subject_name(h->about.class),
            SLICE_ARG(reason));
    }
}

static enum verdict
decide(struct evaluation *e, const struct handling *h,
    const struct verify_answer *a)
{
    struct slice reason = h->reason[0] != '\0' ? slice_of(h->reason) : a->text;

    switch ((enum verified)a->verified) {
    case VERIFIED_DELIVERABLE:
        return VERDICT_NONE;
    case VERIFIED_BOUNCED:
        return refuse(e, h, (int)h->reject_code, reason);
    case VERIFIED_DEFERRED:
    case VERIFIED_PENDING:
        break;
    }
    return refuse(e, h, (int)h->defer_code, reason);
}

static enum verdict
check(struct evaluation *e, const struct handling *h, struct slice address)
{
    struct verify_answer a;
    enum verdict verdict;
    struct buf text;

    if (h->about.text.len == 0)
        return VERDICT_NONE;
    buf_init(&text, VERIFY_TEXT_MAX);
    verdict = probe_ask(e->s, address, &text, &a) ? decide(e, h, &a)
                                                  : no_answer(e, h);
    buf_fini(&text);
    return verdict;
}

CHECK_FN(check_unverified_sender)
{
    const struct config *config = e->s->config;
    const struct handling h = {
        { SUBJECT_SENDER, e->s->mail.envelope.sender },
        config->unverified_sender_defer_code,
        config->unverified_sender_reject_code,
        config->unverified_sender_reject_reason,
        config->unverified_sender_tempfail_action,
        "4.1.7",
    };

    (void)c;
    return check(e, &h, e->s->mail.sender_rewritten);
}

CHECK_FN(check_unverified_recipient)
{
    const struct config *config = e->s->config;
    const struct handling h = {
        { SUBJECT_RECIPIENT, e->s->recipient },
        config->unverified_recipient_defer_code,
        config->unverified_recipient_reject_code,
        config->unverified_recipient_reject_reason,
        config->unverified_recipient_tempfail_action,
        "4.1.1",
    };

    (void)c;
    return check(e, &h, e->s->recipient_rewritten);
}
