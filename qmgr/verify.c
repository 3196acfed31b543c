#include "qmgr/verify.h"

#include "lib/mail/verification.h"
#include "qmgr/outside.h"

static enum verified
code_of(const struct rcpt_result *result)
{
    switch (result->outcome) {
    case OUTCOME_SENT:
    case OUTCOME_EXPANDED:
        return VERIFIED_DELIVERABLE;
    case OUTCOME_BOUNCED:
        return VERIFIED_BOUNCED;
    case OUTCOME_DEFERRED:
    case OUTCOME_RETURNED:
        break;
    }
    return VERIFIED_DEFERRED;
}

/* As it was asked for, and as it went out: the next probe may ask for either. */
static void
tell(struct qmgr *q, const struct rcpt *r, const struct rcpt_result *result)
{
    const struct recipient *given = rcpt_given(r);
    struct verify_result found = { given->address, (uint32_t)code_of(result),
        slice_head(result->text, VERIFY_TEXT_MAX) };

    q->outside->verified(q->context, &found);
    if (given->original.len == 0 ||
        slice_eq_nocase(given->original, given->address))
        return;
    found.address = given->original;
    q->outside->verified(q->context, &found);
}

bool
verify_keep(struct qmgr *q, struct rcpt *r, const struct rcpt_result *result)
{
    struct mail *m = r->message;

    if (!mail_is_own_probe(m))
        return false;
    tell(q, r, result);
    rcpt_set_state(r, RCPT_SETTLED);
    mail_dirty(q, m);
    mail_touch(q, m);
    return true;
}
