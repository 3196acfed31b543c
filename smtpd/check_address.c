/*
 * check_address - restrictions on the addresses of sender and recipient.
 */
#include "lib/mail/address.h"
#include "smtpd/checks.h"
#include "smtpd/domain_name.h"
#include "smtpd/hosts.h"
#include "smtpd/recipient.h"
#include "smtpd/session.h"

static struct subject
sender_of(const struct evaluation *e)
{
    return (struct subject){ SUBJECT_SENDER, e->s->mail.envelope.sender };
}

static struct subject
recipient_of(const struct evaluation *e)
{
    return (struct subject){ SUBJECT_RECIPIENT, e->s->recipient };
}

/* Fully qualified */

static enum verdict
non_fqdn(struct evaluation *e, struct subject about)
{
    struct slice local, domain;

    if (about.text.len == 0 ||
        (address_split(about.text, &local, &domain) &&
            domain_is_fully_qualified(domain)))
        return VERDICT_NONE;
    return evaluation_refuse_subject(e, &about,
        (int)e->s->config->non_fqdn_reject_code, "5.5.2",
        "need fully-qualified address");
}

CHECK_FN(check_non_fqdn_sender)
{
    (void)c;
    return non_fqdn(e, sender_of(e));
}

/* postmaster alone is an address that everybody has to take. */
CHECK_FN(check_non_fqdn_recipient)
{
    (void)c;
    if (slice_eq_nocase(e->s->recipient, SLICE_LIT("postmaster")))
        return VERDICT_NONE;
    return non_fqdn(e, recipient_of(e));
}

/* Domains in DNS */

static enum verdict
refuse_domain(struct evaluation *e, const struct subject *about,
    struct slice domain, enum hosts_status status)
{
    bool sender = about->class == SUBJECT_SENDER;

    if (status == HOSTS_NULL_MX)
        return evaluation_refuse(e, sender ? 550 : 556,
            sender ? "5.7.27" : "5.1.10",
            "<" SLICE_FMT ">: %s rejected: Domain " SLICE_FMT
            " does not accept mail (nullMX)",
            SLICE_ARG(about->text), subject_name(about->class),
            SLICE_ARG(domain));
    if (status == HOSTS_MALFORMED)
        return evaluation_refuse_subject(e, about, 550,
            sender ? "5.1.7" : "5.1.2", "Malformed DNS server reply");
    return evaluation_refuse_subject(e, about,
        (int)e->s->config->unknown_address_reject_code,
        sender ? "4.1.8" : "4.1.2", "Domain not found");
}

/* Not asked of what we answer for ourselves. */
static enum verdict
unknown_domain(struct evaluation *e, struct subject about,
    struct slice rewritten)
{
    struct hosts hosts = hosts_for(e->s->profile);
    struct routed place;
    enum hosts_status status;
    struct why why;

    if (about.text.len == 0)
        return VERDICT_NONE;
    if (recipient_place(e->s, rewritten, &place, &why) != RESULT_OK)
        return evaluation_fail_lookup(e, &why);
    if (place.class == CLASS_LOCAL || place.class == CLASS_VIRTUAL_ALIAS ||
        place.class == CLASS_VIRTUAL_MAILBOX || place.domain.len == 0 ||
        place.domain.ptr[0] == '[')
        return VERDICT_NONE;
    status = hosts_exists(&hosts, place.domain, &why);
    switch (status) {
    case HOSTS_FOUND:
        return VERDICT_NONE;
    case HOSTS_UNKNOWN:
        return evaluation_defer_if_permit(e,
            e->s->config->unknown_address_tempfail_action, 450,
            about.class == SUBJECT_SENDER ? "4.1.8" : "4.1.2",
            "<" SLICE_FMT ">: %s rejected: Domain not found",
            SLICE_ARG(about.text), subject_name(about.class));
    case HOSTS_NULL_MX:
    case HOSTS_NONE:
    case HOSTS_MALFORMED:
        break;
    }
    return refuse_domain(e, &about, place.domain, status);
}

CHECK_FN(check_unknown_sender_domain)
{
    (void)c;
    return unknown_domain(e, sender_of(e), e->s->mail.sender_rewritten);
}

CHECK_FN(check_unknown_recipient_domain)
{
    (void)c;
    return unknown_domain(e, recipient_of(e), e->s->recipient_rewritten);
}

/* Listed */

CHECK_FN(check_unlisted_recipient)
{
    (void)c;
    return recipient_refuse_unlisted(e);
}

CHECK_FN(check_unlisted_sender)
{
    (void)c;
    return sender_refuse_unlisted(e);
}

/* Destinations */

CHECK_FN(check_permit_auth_destination)
{
    struct subject about = recipient_of(e);
    enum verdict verdict = recipient_permit_destination(e);

    return verdict == VERDICT_PERMIT
        ? evaluation_permit(e, c->what->name, &about, "")
        : verdict;
}

static enum verdict
unauth_destination(struct evaluation *e, int code, const char *status)
{
    enum verdict verdict;

    if (e->s->recipient.len == 0)
        return VERDICT_NONE;
    verdict = recipient_permit_destination(e);
    if (verdict == VERDICT_PERMIT)
        return VERDICT_NONE;
    if (verdict == VERDICT_REFUSED)
        return verdict;
    return evaluation_refuse(e, code, status,
        "<" SLICE_FMT ">: Relay access denied", SLICE_ARG(e->s->recipient));
}

CHECK_FN(check_reject_unauth_destination)
{
    (void)c;
    return unauth_destination(e, (int)e->s->config->relay_domains_reject_code,
        "5.7.1");
}

CHECK_FN(check_defer_unauth_destination)
{
    int code = (int)e->s->config->relay_domains_reject_code;

    (void)c;
    return unauth_destination(e, code >= 500 ? code - 100 : code, "4.7.1");
}
