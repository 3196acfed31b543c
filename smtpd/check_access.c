/*
 * check_access - check_client_access and its kin: which table is asked for
 * what.
 */
#include "lib/base/log.h"
#include "smtpd/access_table.h"
#include "smtpd/checks.h"
#include "smtpd/recipient.h"
#include "smtpd/session.h"

static struct access
access_for(struct evaluation *e, const struct check *c,
    enum subject_class class, struct slice text)
{
    return (struct access){ .e = e, .check = c, .subject = { class, text } };
}

/* The name, then the address. */
static enum verdict
name_and_address(struct access *a, const char *name)
{
    enum verdict verdict = access_domain(a, slice_of(name));

    return a->found ? verdict : access_address(a, slice_of(a->e->s->peer.addr));
}

CHECK_FN(check_client_access)
{
    struct access a = access_for(e, c, SUBJECT_CLIENT,
        slice_of(e->s->peer.text));

    return name_and_address(&a, e->s->peer.name);
}

CHECK_FN(check_reverse_client_hostname_access)
{
    const char *name = session_reverse_name(e->s);
    struct access a = access_for(e, c, SUBJECT_REVERSE_CLIENT, slice_of(name));

    return access_allow(&a, name_and_address(&a, name));
}

CHECK_FN(check_helo_access)
{
    struct access a = access_for(e, c, SUBJECT_HELO, slice_of(e->s->helo));

    return e->s->helo == NULL ? VERDICT_NONE
                              : access_domain(&a, a.subject.text);
}

CHECK_FN(check_etrn_access)
{
    struct access a = access_for(e, c, SUBJECT_ETRN, e->s->etrn);

    return e->s->etrn.len == 0 ? VERDICT_NONE
                               : access_domain(&a, a.subject.text);
}

static enum verdict
mail_access(struct access *a, struct slice rewritten)
{
    struct routed place;
    struct why why;

    if (recipient_place(a->e->s, rewritten, &place, &why) != RESULT_OK)
        return evaluation_fail_lookup(a->e, &why);
    return access_mail(a, place.address, place.asks_for_more);
}

CHECK_FN(check_sender_access)
{
    struct session *s = e->s;
    struct access a = access_for(e, c, SUBJECT_SENDER, s->mail.envelope.sender);

    if (!s->mail.open)
        return VERDICT_NONE;
    if (s->mail.envelope.sender.len == 0)
        return access_key(&a,
            slice_of(s->config->smtpd_null_access_lookup_key));
    return mail_access(&a, s->mail.sender_rewritten);
}

CHECK_FN(check_recipient_access)
{
    struct access a = access_for(e, c, SUBJECT_RECIPIENT, e->s->recipient);

    return e->s->recipient.len == 0
        ? VERDICT_NONE
        : mail_access(&a, e->s->recipient_rewritten);
}

CHECK_FN(check_sasl_access)
{
    struct access a = access_for(e, c, SUBJECT_LOGIN,
        slice_of(e->s->login.user));

    return e->s->login.user == NULL ? VERDICT_NONE
                                    : access_key(&a, a.subject.text);
}

CHECK_FN(check_ccert_access)
{
    const char *const keys[] = { e->s->tls.fingerprint,
        e->s->tls.key_fingerprint };
    enum verdict verdict = VERDICT_NONE;

    for (size_t i = 0; i < 2 && verdict == VERDICT_NONE; i++) {
        struct access a = access_for(e, c, SUBJECT_CERTIFICATE,
            slice_of(keys[i]));

        if (keys[i] == NULL)
            continue;
        verdict = access_key(&a, a.subject.text);
        if (a.found)
            return verdict;
    }
    return verdict;
}

/* local_header_rewrite_clients: any entry for the address will do. */
CHECK_FN(check_address_map)
{
    enum verdict verdict = VERDICT_NONE;
    struct buf value;
    struct why why;

    buf_init(&value, TABLE_KEY_MAX);
    switch (table_find(c->table, slice_of(e->s->peer.addr), &value, &why)) {
    case TABLE_FOUND:
        verdict = VERDICT_PERMIT;
        break;
    case TABLE_NOT_FOUND:
        break;
    case TABLE_ERROR:
        verdict = evaluation_fail_lookup(e, &why);
        break;
    }
    buf_fini(&value);
    return verdict;
}

/* "type:table" without a name in front: what it is asked for is the list's. */
CHECK_FN(check_stage_access)
{
    switch (e->stage) {
    case STAGE_CLIENT:
        return check_client_access(e, c);
    case STAGE_HELO:
        return check_helo_access(e, c);
    case STAGE_SENDER:
        return check_sender_access(e, c);
    case STAGE_RELAY:
    case STAGE_RECIPIENT:
        return check_recipient_access(e, c);
    case STAGE_ETRN:
        return check_etrn_access(e, c);
    case STAGE_REWRITE:
        return check_address_map(e, c);
    case STAGE_DATA:
    case STAGE_END_OF_DATA:
    case STAGE_COUNT:
        break;
    }
    log_write(LOG_LEVEL_WARNING, e->s->profile->tag,
        "specify one of (check_client_access, check_helo_access, "
        "check_sender_access, check_recipient_access, check_etrn_access) "
        "before restriction \"%s\"",
        c->text);
    return evaluation_fail_config(e);
}
