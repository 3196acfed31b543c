/*
 * check_helo - restrictions on the name in HELO.
 */
#include "lib/mail/address.h"
#include "smtpd/checks.h"
#include "smtpd/domain_name.h"
#include "smtpd/hosts.h"
#include "smtpd/session.h"

static struct subject
helo_of(const struct evaluation *e)
{
    return (struct subject){ SUBJECT_HELO, slice_of(e->s->helo) };
}

static enum verdict
refuse_helo(struct evaluation *e, int64_t code, const char *status,
    const char *reason)
{
    struct subject helo = helo_of(e);

    return evaluation_refuse_subject(e, &helo, (int)code, status, reason);
}

/* Postfix lets bare addresses pass here; so do we. */
static bool
is_host_name(struct slice name)
{
    struct sock_addr addr;

    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name = slice_head(name, name.len - 1);
    return domain_is_valid(name) || domain_is_literal(name) ||
        sock_addr_parse(name, 0, &addr);
}

static bool
is_bracketed(struct slice helo)
{
    return helo.len > 0 && helo.ptr[0] == '[';
}

CHECK_FN(check_invalid_helo_hostname)
{
    struct slice helo = slice_of(e->s->helo);

    (void)c;
    if (e->s->helo == NULL || is_host_name(helo))
        return VERDICT_NONE;
    return refuse_helo(e, e->s->config->invalid_hostname_reject_code, "5.5.2",
        is_bracketed(helo) ? "invalid ip address" : "Invalid name");
}

CHECK_FN(check_non_fqdn_helo_hostname)
{
    if (is_bracketed(slice_of(e->s->helo)))
        return check_invalid_helo_hostname(e, c);
    if (e->s->helo == NULL || domain_is_fully_qualified(slice_of(e->s->helo)))
        return VERDICT_NONE;
    return refuse_helo(e, e->s->config->non_fqdn_reject_code, "5.5.2",
        "need fully-qualified hostname");
}

CHECK_FN(check_unknown_helo_hostname)
{
    const struct config *config = e->s->config;
    struct hosts hosts = hosts_for(e->s->profile);
    struct slice helo = slice_of(e->s->helo);
    struct why why;

    if (helo.len == 0)
        return VERDICT_NONE;
    if (is_bracketed(helo))
        return check_invalid_helo_hostname(e, c);
    switch (hosts_exists(&hosts, helo, &why)) {
    case HOSTS_FOUND:
    case HOSTS_NULL_MX:
        return VERDICT_NONE;
    case HOSTS_UNKNOWN:
        return evaluation_defer_if_permit(e,
            config->unknown_helo_hostname_tempfail_action, 450, "4.7.1",
            "<%s>: Helo command rejected: Host not found", e->s->helo);
    case HOSTS_NONE:
    case HOSTS_MALFORMED:
        break;
    }
    return refuse_helo(e, config->unknown_hostname_reject_code, "4.7.1",
        "Host not found");
}

CHECK_FN(check_naked_ip_address)
{
    struct subject helo = helo_of(e);
    struct sock_addr addr;

    if (e->s->helo == NULL || !sock_addr_parse(helo.text, 0, &addr))
        return VERDICT_NONE;
    return evaluation_permit(e, c->what->name, &helo, "");
}
