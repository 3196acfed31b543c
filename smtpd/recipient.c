#include "smtpd/recipient.h"

#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/mail/rewrite.h"
#include "smtpd/session.h"

enum { ROUTES_MAX = 20 }; /* a%b%c@ours: rounds of looking behind it */

static enum verdict
trouble(struct evaluation *e, const char *class, struct slice address,
    const struct why *why)
{
    log_write(LOG_LEVEL_WARNING, e->s->profile->tag, "%s", why->text);
    return evaluation_refuse(e, 451, "4.3.0",
        "<" SLICE_FMT ">: %s address rejected: Temporary lookup failure",
        SLICE_ARG(address), class);
}

/* "user@elsewhere", "user%elsewhere", "elsewhere!user" in a local part. */
static bool
is_routed(const struct session *s, struct slice local)
{
    const struct config *rewrite = s->profile->rewrite;

    return slice_find(local, '@') < local.len ||
        (rewrite->allow_percent_hack && slice_find(local, '%') < local.len) ||
        (rewrite->swap_bangpath && slice_find(local, '!') < local.len);
}

/*
 * The class of an address; where it only passes through us, that of the address
 * behind. *routed: it does, or would for another server of ours.
 */
static enum result
classify(struct session *s, struct slice *address, enum address_class *class,
    bool *routed, struct why *why)
{
    *routed = false;
    for (unsigned round = 0; round < ROUTES_MAX; round++) {
        struct slice local, domain;
        enum result res;

        (void)address_split(*address, &local, &domain);
        res = address_class_find(s->profile->classes, domain, class, why);
        if (res != RESULT_OK)
            return res;
        if (!is_routed(s, local))
            return RESULT_OK;
        *routed = true;
        if (*class != CLASS_LOCAL)
            return RESULT_OK;
        res = rewrite_address(s->profile->rewrite, REWRITE_LOCAL, local,
            &s->mail.arena, address, why);
        if (res != RESULT_OK)
            return res;
    }
    *class = CLASS_DEFAULT;
    return RESULT_OK;
}

enum verdict
recipient_permit_destination(struct evaluation *e)
{
    struct session *s = e->s;
    struct slice address = s->recipient_rewritten;
    enum address_class class;
    bool routed;
    struct why why;

    if (address.len == 0)
        return VERDICT_NONE;
    if (classify(s, &address, &class, &routed, &why) != RESULT_OK)
        return trouble(e, "Recipient", s->recipient, &why);
    if (class == CLASS_DEFAULT ||
        (routed && !s->config->allow_untrusted_routing))
        return VERDICT_NONE;
    return VERDICT_PERMIT;
}

static enum verdict
refuse_unlisted(struct evaluation *e, const char *what, const char *status,
    struct slice shown, struct slice address)
{
    struct session *s = e->s;
    enum address_class class;
    bool routed;
    int code = 451;
    struct why why;
    enum result res;

    if (address.len == 0)
        return VERDICT_NONE;
    res = classify(s, &address, &class, &routed, &why);
    if (res == RESULT_OK)
        res = recipient_check(s->profile->recipients, class, address, &code,
            &why);
    switch (res) {
    case RESULT_OK:
        return VERDICT_NONE;
    case RESULT_TEMPFAIL:
        return trouble(e, what, shown, &why);
    case RESULT_PERMFAIL:
        break;
    }
    return evaluation_refuse(e, code, status,
        "<" SLICE_FMT ">: %s address rejected: %s", SLICE_ARG(shown), what,
        why.text);
}

enum verdict
recipient_refuse_unlisted(struct evaluation *e)
{
    if (e->listed_recipient || e->s->profile->no_unknown_recipient_checks)
        return VERDICT_NONE;
    e->listed_recipient = true;
    return refuse_unlisted(e, "Recipient", "5.1.1", e->s->recipient,
        e->s->recipient_rewritten);
}

enum verdict
sender_refuse_unlisted(struct evaluation *e)
{
    if (e->listed_sender)
        return VERDICT_NONE;
    e->listed_sender = true;
    return refuse_unlisted(e, "Sender", "5.1.0", e->s->mail.envelope.sender,
        e->s->mail.sender_rewritten);
}
