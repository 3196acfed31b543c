#include "qmgr/verify.h"

#include "lib/base/clock.h"
#include "qmgr/outside.h"

enum {
    VERIFY_DELIVERABLE = 0,
    VERIFY_DEFERRED = 1,
    VERIFY_BOUNCED = 2,

    KEY_MAX = 1024,
    VALUE_MAX = 4096,
    TEXT_MAX = 2000,
};

static int
code_of(const struct rcpt_result *result)
{
    switch (result->outcome) {
    case OUTCOME_SENT:
    case OUTCOME_EXPANDED:
        return VERIFY_DELIVERABLE;
    case OUTCOME_BOUNCED:
        return VERIFY_BOUNCED;
    case OUTCOME_DEFERRED:
    case OUTCOME_RETURNED:
        break;
    }
    return VERIFY_DEFERRED;
}

static void
keep(struct qmgr *q, struct slice address, struct slice value, int64_t end_s)
{
    struct buf key;

    buf_init(&key, KEY_MAX);
    for (size_t i = 0; i < address.len; i++) {
        char c = address.ptr[i];

        buf_add_octet(&key,
            (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
    }
    if (!buf_failed(&key) && key.len > 0)
        q->outside->remember(q->context, buf_slice(&key), value, end_s);
    buf_fini(&key);
}

/* As it was asked for, and as it went out: the next probe may ask for either. */
static void
keep_all(struct qmgr *q, const struct rcpt *r, const struct rcpt_result *result)
{
    const struct config *c = config_of_service(q->set, "verify");
    const struct recipient *given = rcpt_given(r);
    int64_t now = clock_wall_s();
    int code = code_of(result);
    struct buf value;

    if (code != VERIFY_DELIVERABLE && !c->address_verify_negative_cache)
        return;
    buf_init(&value, VALUE_MAX);
    buf_add_format(&value, "%d:0:%lld:", code, (long long)now);
    buf_add(&value, slice_head(result->text, TEXT_MAX));
    now += (code == VERIFY_DELIVERABLE
                   ? c->address_verify_positive_expire_time
                   : c->address_verify_negative_expire_time) /
        1000;
    if (!buf_failed(&value))
        keep(q, given->address, buf_slice(&value), now);
    if (!buf_failed(&value) && given->original.len > 0 &&
        !slice_eq_nocase(given->original, given->address))
        keep(q, given->original, buf_slice(&value), now);
    buf_fini(&value);
}

bool
verify_keep(struct qmgr *q, struct rcpt *r, const struct rcpt_result *result)
{
    struct mail *m = r->message;

    if ((m->envelope.flags & ENVELOPE_PROBE) == 0 ||
        !envelope_is_probe(&m->envelope))
        return false;
    keep_all(q, r, result);
    rcpt_set_state(r, RCPT_SETTLED);
    mail_dirty(q, m);
    mail_touch(q, m);
    return true;
}
