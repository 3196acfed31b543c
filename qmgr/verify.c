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

/*
 * The other address of r: as it was asked for, where that is not how it went
 * out. The next probe may ask for either.
 */
static struct slice
other_address(const struct rcpt *r)
{
    const struct recipient *given = rcpt_given(r);

    return slice_eq_nocase(given->original, given->address) ? SLICE_LIT("")
                                                            : given->original;
}

static void
settle(struct qmgr *q, struct rcpt *r)
{
    rcpt_set_state(r, RCPT_SETTLED);
    mail_dirty(q, r->message);
    mail_touch(q, r->message);
}

bool
verify_keep(struct qmgr *q, struct rcpt *r, const struct rcpt_result *result)
{
    struct verify_result found = { rcpt_given(r)->address,
        (uint32_t)code_of(result), slice_head(result->text, VERIFY_TEXT_MAX) };

    if (!mail_is_own_probe(r->message))
        return false;
    q->outside->verified(q->context, &found);
    found.address = other_address(r);
    if (found.address.len > 0)
        q->outside->verified(q->context, &found);
    settle(q, r);
    return true;
}

void
verify_give_up(struct qmgr *q, struct rcpt *r)
{
    struct slice other = other_address(r);

    q->outside->unverified(q->context, rcpt_given(r)->address);
    if (other.len > 0)
        q->outside->unverified(q->context, other);
    settle(q, r);
}
