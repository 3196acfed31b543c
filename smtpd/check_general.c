/*
 * check_general - restrictions that look at nobody in particular.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/io/fiber.h"
#include "smtpd/checks.h"
#include "smtpd/session.h"

CHECK_FN(check_permit)
{
    return evaluation_permit(e, c->what->name, &e->subject, "");
}

CHECK_FN(check_reject)
{
    (void)c;
    return evaluation_refuse_subject(e, &e->subject,
        (int)e->s->config->reject_code, "5.7.1", "Access denied");
}

CHECK_FN(check_defer)
{
    (void)c;
    return evaluation_refuse_subject(e, &e->subject,
        (int)e->s->config->defer_code, "4.3.2", "Try again later");
}

CHECK_FN(check_defer_if_permit)
{
    return evaluation_defer_if_permit(e, "", 450, "4.7.0",
        "<" SLICE_FMT ">: %s rejected: %s requested",
        SLICE_ARG(e->subject.text), subject_name(e->subject.class),
        c->what->name);
}

CHECK_FN(check_defer_if_reject)
{
    return evaluation_defer_if_reject(e, 450, "4.7.0",
        "<" SLICE_FMT ">: %s rejected: %s requested",
        SLICE_ARG(e->subject.text), subject_name(e->subject.class),
        c->what->name);
}

/* evaluation_run_list() does it. */
CHECK_FN(check_warn_if_reject)
{
    (void)e;
    (void)c;
    return VERDICT_NONE;
}

CHECK_FN(check_sleep)
{
    (void)e;
    (void)fiber_sleep_until(clock_now_ms() + (int64_t)c->number * 1000);
    return VERDICT_NONE;
}

CHECK_FN(check_class)
{
    if (evaluation_is_deep(e)) {
        log_write(LOG_LEVEL_WARNING, e->s->profile->tag,
            "restriction class %s causes unreasonable recursion",
            c->class->name);
        return evaluation_fail_config(e);
    }
    return evaluation_run_list(e, &c->class->list);
}

CHECK_FN(check_unauth_pipelining)
{
    (void)c;
    if (!e->s->talked_ahead)
        return VERDICT_NONE;
    return evaluation_refuse_subject(e, &e->subject, 503, "5.5.0",
        "Improper use of SMTP command pipelining");
}

CHECK_FN(check_plaintext_session)
{
    (void)c;
    if (e->s->tls.on)
        return VERDICT_NONE;
    return evaluation_refuse(e, (int)e->s->config->plaintext_reject_code,
        "5.7.1", "Session encryption is required");
}

/* Only spammers have one notice for many (RFC 5321 section 6.1 sends one). */
CHECK_FN(check_multi_recipient_bounce)
{
    const struct envelope *env = &e->s->mail.envelope;
    size_t others = e->stage == STAGE_DATA || e->stage == STAGE_END_OF_DATA;

    (void)c;
    if (!e->s->mail.open || env->sender.len > 0 ||
        env->recipient_count <= others)
        return VERDICT_NONE;
    return evaluation_refuse_subject(e, &e->subject,
        (int)e->s->config->multi_recipient_bounce_reject_code, "5.5.3",
        "Multi-recipient bounce");
}
