/*
 * check_client - restrictions on who connected: address, name, login,
 * certificate.
 */
#include "lib/mail/own_addresses.h"
#include "smtpd/checks.h"
#include "smtpd/session.h"

static struct subject
client_of(const struct evaluation *e)
{
    return (struct subject){ SUBJECT_CLIENT, slice_of(e->s->peer.text) };
}

static enum verdict
permit_client(struct evaluation *e, const struct check *c)
{
    struct subject client = client_of(e);

    return evaluation_permit(e, c->what->name, &client, "");
}

CHECK_FN(check_mynetworks)
{
    struct why why;

    switch (match_list_find_host(e->s->profile->mynetworks,
        slice_of(e->s->peer.name), slice_of(e->s->peer.addr), &why)) {
    case TABLE_FOUND:
        return permit_client(e, c);
    case TABLE_NOT_FOUND:
        return VERDICT_NONE;
    case TABLE_ERROR:
        break;
    }
    return evaluation_fail_lookup(e, &why);
}

CHECK_FN(check_inet_interfaces)
{
    return own_addresses_have(e->s->profile->own, slice_of(e->s->peer.addr))
        ? permit_client(e, c)
        : VERDICT_NONE;
}

CHECK_FN(check_sasl_authenticated)
{
    return e->s->login.user != NULL ? permit_client(e, c) : VERDICT_NONE;
}

CHECK_FN(check_tls_all_clientcerts)
{
    return e->s->tls.trusted ? permit_client(e, c) : VERDICT_NONE;
}

/* By the fingerprint of the certificate, or that of its key. */
CHECK_FN(check_tls_clientcerts)
{
    const char *const keys[] = { e->s->tls.fingerprint,
        e->s->tls.key_fingerprint };
    enum verdict verdict = VERDICT_NONE;
    struct buf value;
    struct why why;

    buf_init(&value, TABLE_KEY_MAX);
    for (size_t i = 0; i < 2 && verdict == VERDICT_NONE; i++) {
        if (keys[i] == NULL)
            continue;
        switch (table_list_find(e->s->profile->relay_clientcerts,
            slice_of(keys[i]), &value, &why)) {
        case TABLE_FOUND:
            verdict = permit_client(e, c);
            break;
        case TABLE_NOT_FOUND:
            break;
        case TABLE_ERROR:
            verdict = evaluation_fail_lookup(e, &why);
        }
    }
    buf_fini(&value);
    return verdict;
}

static enum verdict
no_name(struct evaluation *e, enum client_name_status status, const char *dsn,
    const char *what)
{
    if (status == CLIENT_NAME_OK)
        return VERDICT_NONE;
    return evaluation_refuse(e,
        status == CLIENT_NAME_TEMP
            ? 450
            : (int)e->s->config->unknown_client_reject_code,
        dsn, "Client host rejected: cannot find your %s, [%s]", what,
        e->s->peer.addr);
}

CHECK_FN(check_unknown_client_hostname)
{
    (void)c;
    return no_name(e, e->s->peer.name_status, "4.7.25", "hostname");
}

CHECK_FN(check_unknown_reverse_client_hostname)
{
    (void)c;
    return no_name(e, e->s->peer.reverse_status, "4.7.1", "reverse hostname");
}
