/*
 * checks - what each restriction does.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "smtpd/recipient.h"
#include "smtpd/restriction.h"
#include "smtpd/session.h"

#include <assert.h>

/* What is checked at a stage, as replies name it. */
struct subject {
    const char *class; /* "Recipient address" */
    char text[REFUSAL_TEXT_MAX / 2];
};

static void
subject_of(const struct evaluation *e, struct subject *subject)
{
    const struct session *s = e->s;
    static const char *const classes[] = {
        [STAGE_CLIENT] = "Client host",
        [STAGE_HELO] = "Helo command",
        [STAGE_SENDER] = "Sender address",
        [STAGE_RELAY] = "Recipient address",
        [STAGE_RECIPIENT] = "Recipient address",
        [STAGE_DATA] = "Data command",
        [STAGE_END_OF_DATA] = "End-of-data",
        [STAGE_REWRITE] = "Client host",
    };
    struct slice text;

    switch (e->stage) {
    case STAGE_HELO:
        text = slice_of(s->helo);
        break;
    case STAGE_SENDER:
        text = s->mail.envelope.sender;
        break;
    case STAGE_RELAY:
    case STAGE_RECIPIENT:
        text = s->recipient;
        break;
    case STAGE_DATA:
        text = SLICE_LIT("DATA");
        break;
    case STAGE_END_OF_DATA:
        text = SLICE_LIT("END-OF-MESSAGE");
        break;
    case STAGE_CLIENT:
    case STAGE_REWRITE:
    case STAGE_COUNT:
    default:
        text = slice_of(s->peer.text);
        break;
    }
    assert(e->stage < STAGE_COUNT);
    subject->class = classes[e->stage];
    text = slice_head(text, sizeof(subject->text) - 1);
    if (text.len > 0)
        memcpy(subject->text, text.ptr, text.len);
    subject->text[text.len] = '\0';
}

static struct slice
address_of(const struct session *s)
{
    return slice_of(s->peer.addr);
}

/* A list that cannot be asked: nobody is let in, nobody turned away for good. */
static enum verdict
table_trouble(struct evaluation *e, const struct why *why)
{
    log_write(LOG_LEVEL_WARNING, e->s->profile->tag, "%s", why->text);
    return evaluation_refuse(e, 451, "4.3.0", "<%s>: Temporary lookup failure",
        e->s->peer.text);
}

/* Anybody */

static enum verdict
permit(struct evaluation *e, const struct check *c)
{
    (void)e;
    (void)c;
    return VERDICT_PERMIT;
}

/* Without AUTH and TLS there is nobody who has shown who he is. */
static enum verdict
permit_nobody(struct evaluation *e, const struct check *c)
{
    (void)e;
    (void)c;
    return VERDICT_NONE;
}

static enum verdict
reject(struct evaluation *e, const struct check *c)
{
    struct subject subject;

    (void)c;
    subject_of(e, &subject);
    return evaluation_refuse(e, (int)e->s->config->reject_code, "5.7.1",
        "<%s>: %s rejected: Access denied", subject.text, subject.class);
}

static enum verdict
defer(struct evaluation *e, const struct check *c)
{
    struct subject subject;

    (void)c;
    subject_of(e, &subject);
    return evaluation_refuse(e, (int)e->s->config->defer_code, "4.3.2",
        "<%s>: %s rejected: Try again later", subject.text, subject.class);
}

static enum verdict
defer_if(struct evaluation *e, struct refusal *when, const char *name)
{
    struct subject subject;

    subject_of(e, &subject);
    if (when->code == 0)
        (void)refusal_set(when, 450, "4.7.0", "<%s>: %s rejected: %s requested",
            subject.text, subject.class, name);
    return VERDICT_NONE;
}

static enum verdict
defer_if_permit(struct evaluation *e, const struct check *c)
{
    return defer_if(e, &e->if_permit, c->what->name);
}

static enum verdict
defer_if_reject(struct evaluation *e, const struct check *c)
{
    return defer_if(e, &e->if_reject, c->what->name);
}

/* evaluation_run() does it. */
static enum verdict
warn_if_reject(struct evaluation *e, const struct check *c)
{
    (void)e;
    (void)c;
    return VERDICT_NONE;
}

static enum verdict
check_sleep(struct evaluation *e, const struct check *c)
{
    (void)e;
    (void)fiber_sleep_until(clock_now_ms() + (int64_t)c->number * 1000);
    return VERDICT_NONE;
}

/* The client */

static enum verdict
permit_mynetworks(struct evaluation *e, const struct check *c)
{
    struct why why;

    (void)c;
    switch (match_list_find_host(e->s->profile->mynetworks,
        slice_of(e->s->peer.name), address_of(e->s), &why)) {
    case TABLE_FOUND:
        return VERDICT_PERMIT;
    case TABLE_NOT_FOUND:
        return VERDICT_NONE;
    case TABLE_ERROR:
        break;
    }
    return table_trouble(e, &why);
}

static enum verdict
permit_inet_interfaces(struct evaluation *e, const struct check *c)
{
    (void)c;
    return own_addresses_have(e->s->profile->own, address_of(e->s))
        ? VERDICT_PERMIT
        : VERDICT_NONE;
}

static enum verdict
no_client_name(struct evaluation *e, enum client_name_status status,
    const char *what)
{
    if (status == CLIENT_NAME_OK)
        return VERDICT_NONE;
    return evaluation_refuse(e,
        status == CLIENT_NAME_TEMP
            ? 450
            : (int)e->s->config->unknown_client_reject_code,
        "4.7.25", "Client host rejected: cannot find your %s, [%s]", what,
        e->s->peer.addr);
}

static enum verdict
reject_unknown_client_hostname(struct evaluation *e, const struct check *c)
{
    (void)c;
    return no_client_name(e, e->s->peer.name_status, "hostname");
}

static enum verdict
reject_unknown_reverse_client_hostname(struct evaluation *e,
    const struct check *c)
{
    (void)c;
    return no_client_name(e, e->s->peer.reverse_status, "reverse hostname");
}

/* HELO */

static bool
is_fully_qualified(struct slice domain)
{
    if (domain_is_literal(domain))
        return true;
    if (domain.len > 0 && domain.ptr[domain.len - 1] == '.')
        domain = slice_head(domain, domain.len - 1);
    return domain_is_valid(domain) && slice_find(domain, '.') < domain.len;
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

static enum verdict
reject_invalid_helo_hostname(struct evaluation *e, const struct check *c)
{
    (void)c;
    if (e->s->helo == NULL || is_host_name(slice_of(e->s->helo)))
        return VERDICT_NONE;
    return evaluation_refuse(e, (int)e->s->config->invalid_hostname_reject_code,
        "5.5.2", "<%s>: Helo command rejected: Invalid name", e->s->helo);
}

static enum verdict
reject_non_fqdn_helo_hostname(struct evaluation *e, const struct check *c)
{
    (void)c;
    if (e->s->helo == NULL || is_fully_qualified(slice_of(e->s->helo)))
        return VERDICT_NONE;
    return evaluation_refuse(e, (int)e->s->config->non_fqdn_reject_code,
        "5.5.2", "<%s>: Helo command rejected: need fully-qualified hostname",
        e->s->helo);
}

/* Sender and recipient */

static enum verdict
non_fqdn_address(struct evaluation *e, struct slice address, const char *what)
{
    struct slice local, domain;

    if (address.len == 0 ||
        (address_split(address, &local, &domain) && is_fully_qualified(domain)))
        return VERDICT_NONE;
    return evaluation_refuse(e, (int)e->s->config->non_fqdn_reject_code,
        "5.5.2",
        "<" SLICE_FMT ">: %s address rejected: need fully-qualified address",
        SLICE_ARG(address), what);
}

static enum verdict
reject_non_fqdn_sender(struct evaluation *e, const struct check *c)
{
    (void)c;
    return non_fqdn_address(e, e->s->mail.envelope.sender, "Sender");
}

/* postmaster alone is an address that everybody has to take. */
static enum verdict
reject_non_fqdn_recipient(struct evaluation *e, const struct check *c)
{
    (void)c;
    if (slice_eq_nocase(e->s->recipient, SLICE_LIT("postmaster")))
        return VERDICT_NONE;
    return non_fqdn_address(e, e->s->recipient, "Recipient");
}

static enum verdict
reject_unlisted_recipient(struct evaluation *e, const struct check *c)
{
    (void)c;
    return recipient_refuse_unlisted(e);
}

static enum verdict
reject_unlisted_sender(struct evaluation *e, const struct check *c)
{
    (void)c;
    return sender_refuse_unlisted(e);
}

static enum verdict
permit_auth_destination(struct evaluation *e, const struct check *c)
{
    (void)c;
    return recipient_permit_destination(e);
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

static enum verdict
reject_unauth_destination(struct evaluation *e, const struct check *c)
{
    (void)c;
    return unauth_destination(e, (int)e->s->config->relay_domains_reject_code,
        "5.7.1");
}

static enum verdict
defer_unauth_destination(struct evaluation *e, const struct check *c)
{
    int code = (int)e->s->config->relay_domains_reject_code;

    (void)c;
    return unauth_destination(e, code >= 500 ? code - 100 : code, "4.7.1");
}

#define CHECK(name, argument, flags) \
    {                                \
#        name, name, argument, flags \
    }
#define CHECK_AS(name, fn, argument, flags) \
    {                                       \
#        name, fn, argument, flags          \
    }
const struct restriction restrictions[] = {
    CHECK(permit, ARGUMENT_NONE, RESTRICTION_FOR_REWRITE),
    CHECK(reject, ARGUMENT_NONE, RESTRICTION_GUARDS_RELAY),
    CHECK(defer, ARGUMENT_NONE, RESTRICTION_GUARDS_RELAY),
    CHECK(defer_if_permit, ARGUMENT_NONE, RESTRICTION_GUARDS_RELAY),
    CHECK(defer_if_reject, ARGUMENT_NONE, 0),
    CHECK(warn_if_reject, ARGUMENT_CHECK, 0),
    CHECK_AS(sleep, check_sleep, ARGUMENT_NUMBER, 0),

    CHECK(permit_mynetworks, ARGUMENT_NONE, RESTRICTION_FOR_REWRITE),
    CHECK(permit_inet_interfaces, ARGUMENT_NONE, RESTRICTION_FOR_REWRITE),
    CHECK_AS(permit_sasl_authenticated, permit_nobody, ARGUMENT_NONE,
        RESTRICTION_FOR_REWRITE),
    CHECK_AS(permit_tls_clientcerts, permit_nobody, ARGUMENT_NONE,
        RESTRICTION_FOR_REWRITE),
    CHECK_AS(permit_tls_all_clientcerts, permit_nobody, ARGUMENT_NONE,
        RESTRICTION_FOR_REWRITE),
    CHECK(reject_unknown_client_hostname, ARGUMENT_NONE, 0),
    CHECK_AS(reject_unknown_client, reject_unknown_client_hostname,
        ARGUMENT_NONE, 0),
    CHECK(reject_unknown_reverse_client_hostname, ARGUMENT_NONE, 0),

    CHECK(reject_invalid_helo_hostname, ARGUMENT_NONE, 0),
    CHECK_AS(reject_invalid_hostname, reject_invalid_helo_hostname,
        ARGUMENT_NONE, 0),
    CHECK(reject_non_fqdn_helo_hostname, ARGUMENT_NONE, 0),
    CHECK_AS(reject_non_fqdn_hostname, reject_non_fqdn_helo_hostname,
        ARGUMENT_NONE, 0),

    CHECK(reject_non_fqdn_sender, ARGUMENT_NONE, 0),
    CHECK(reject_unlisted_sender, ARGUMENT_NONE, 0),

    CHECK(reject_non_fqdn_recipient, ARGUMENT_NONE, 0),
    CHECK(reject_unlisted_recipient, ARGUMENT_NONE, 0),
    CHECK_AS(check_recipient_maps, reject_unlisted_recipient, ARGUMENT_NONE, 0),
    CHECK(permit_auth_destination, ARGUMENT_NONE, 0),
    CHECK(reject_unauth_destination, ARGUMENT_NONE, RESTRICTION_GUARDS_RELAY),
    CHECK(defer_unauth_destination, ARGUMENT_NONE, RESTRICTION_GUARDS_RELAY),
    { NULL, NULL, ARGUMENT_NONE, 0 },
};
