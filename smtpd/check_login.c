/*
 * check_login - who may send as whom: smtpd_sender_login_maps name the logins
 * that own a sender address.
 */
#include "lib/base/log.h"
#include "lib/mail/address_lookup.h"
#include "smtpd/checks.h"
#include "smtpd/session.h"

enum { OWNERS_MAX = 64 * 1024 };

/* A sender without an owner, who is logged in. */
enum unowned { UNOWNED_REFUSE, UNOWNED_IGNORE };

static enum table_status
find_owners(const struct session *s, struct buf *owners, struct why *why)
{
    struct slice extension;

    return address_find(s->profile->classes, s->profile->sender_logins,
        ADDRESS_MAP, s->mail.sender_rewritten, owners, &extension, why);
}

static bool
is_among(struct slice owners, struct slice user)
{
    struct slice name;

    while (slice_word(&owners, ", \t\r\n", &name))
        if (slice_eq_nocase(name, user))
            return true;
    return false;
}

static enum verdict
refuse_not_logged_in(struct evaluation *e)
{
    return evaluation_refuse(e, 553, "5.7.1",
        "<" SLICE_FMT ">: Sender address rejected: not logged in",
        SLICE_ARG(e->s->mail.envelope.sender));
}

static enum verdict
refuse_not_owner(struct evaluation *e)
{
    return evaluation_refuse(e, 553, "5.7.1",
        "<" SLICE_FMT ">: Sender address rejected: not owned by user %s",
        SLICE_ARG(e->s->mail.envelope.sender), e->s->login.user);
}

static enum verdict
decide(struct evaluation *e, enum table_status status, struct slice owners,
    enum unowned unowned)
{
    const char *user = e->s->login.user;

    if (status != TABLE_FOUND)
        return user == NULL || unowned == UNOWNED_IGNORE ? VERDICT_NONE
                                                         : refuse_not_owner(e);
    if (user == NULL)
        return refuse_not_logged_in(e);
    return is_among(owners, slice_of(user)) ? VERDICT_NONE
                                            : refuse_not_owner(e);
}

/*
 * Where nobody can log in, by AUTH or as the client of a proxy, nobody is asked
 * to: a server for mail from outside, that has its restrictions from main.cf.
 */
static bool
is_meant(const struct evaluation *e, const struct check *c)
{
    const struct config *config = e->s->config;

    if (e->s->login.user != NULL || config->smtpd_sasl_auth_enable ||
        config->smtpd_authorized_xclient_hosts[0] != '\0')
        return true;
    log_write(LOG_LEVEL_WARNING, e->s->profile->tag,
        "restriction `%s' ignored: no SASL support", c->what->name);
    return false;
}

static enum verdict
check(struct evaluation *e, const struct check *c, enum unowned unowned)
{
    enum table_status status;
    enum verdict verdict;
    struct buf owners;
    struct why why;

    if (e->s->mail.envelope.sender.len == 0 ||
        e->s->profile->sender_logins == NULL || !is_meant(e, c))
        return VERDICT_NONE;
    buf_init(&owners, OWNERS_MAX);
    status = find_owners(e->s, &owners, &why);
    verdict = status == TABLE_ERROR
        ? evaluation_fail_lookup(e, &why)
        : decide(e, status, buf_slice(&owners), unowned);
    buf_fini(&owners);
    return verdict;
}

CHECK_FN(check_sender_login_mismatch)
{
    return check(e, c, UNOWNED_REFUSE);
}

CHECK_FN(check_known_sender_login_mismatch)
{
    return check(e, c, UNOWNED_IGNORE);
}

CHECK_FN(check_authenticated_sender_login_mismatch)
{
    return e->s->login.user == NULL ? VERDICT_NONE
                                    : check(e, c, UNOWNED_REFUSE);
}

CHECK_FN(check_unauthenticated_sender_login_mismatch)
{
    return e->s->login.user != NULL ? VERDICT_NONE
                                    : check(e, c, UNOWNED_REFUSE);
}
