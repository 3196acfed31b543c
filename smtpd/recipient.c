#include "smtpd/recipient.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/mail/address.h"
#include "lib/mail/address_lookup.h"
#include "lib/mail/rewrite.h"
#include "lib/mail/route.h"
#include "lib/mail/status.h"
#include "smtpd/session.h"

#include <stdio.h>
#include <string.h>

enum {
    ROUTE_WAIT_MS = 30 * 1000,
    ROUTE_MAX = 64 * 1024, /* octets of a value in transport_maps */
};

static enum verdict
trouble(struct evaluation *e, const struct subject *about,
    const struct why *why)
{
    log_write(LOG_LEVEL_WARNING, e->s->profile->tag, "%s", why->text);
    (void)refusal_set(e->no, 451, "4.3.0",
        "<" SLICE_FMT ">: %s rejected: Temporary lookup failure",
        SLICE_ARG(about->text), subject_name(about->class));
    return VERDICT_REFUSED;
}

enum result
recipient_place(struct session *s, struct slice address, struct routed *place,
    struct why *why)
{
    return routed_find(s->profile->classes, s->profile->rewrite, address,
        &s->mail.arena, place, why);
}

enum verdict
recipient_permit_destination(struct evaluation *e)
{
    struct session *s = e->s;
    struct routed place;
    struct why why;

    if (s->recipient_rewritten.len == 0)
        return VERDICT_NONE;
    if (recipient_place(s, s->recipient_rewritten, &place, &why) != RESULT_OK)
        return trouble(e, &(struct subject){ SUBJECT_RECIPIENT, s->recipient },
            &why);
    if (place.class == CLASS_DEFAULT ||
        (place.asks_for_more && !s->config->allow_untrusted_routing))
        return VERDICT_NONE;
    return VERDICT_PERMIT;
}

/* Of "transport:nexthop". */
static bool
is_error_transport(struct slice route)
{
    struct slice name = slice_trim(slice_head(route, slice_find(route, ':')));

    return slice_eq_text(name, "error") || slice_eq_text(name, "retry");
}

/* Does a default say no, or may one that only lookup asks for? */
static bool
defaults_refuse(const struct config *c)
{
    return c->sender_dependent_default_transport_maps[0] != '\0' ||
        is_error_transport(slice_of(c->local_transport)) ||
        is_error_transport(slice_of(c->virtual_transport)) ||
        is_error_transport(slice_of(c->relay_transport)) ||
        is_error_transport(slice_of(c->default_transport));
}

/*
 * Can the route of address be one that says no? Only then lookup is asked for
 * it: a round trip for each of a list's ten thousand recipients would take
 * twice as long as all the rest. It also puts trouble with a table into words.
 */
static bool
route_may_refuse(const struct profile *p, struct slice address)
{
    enum table_status status;
    struct slice extension;
    struct buf value;
    bool refuses;
    struct why why;

    if (defaults_refuse(p->rewrite))
        return true;
    if (table_list_empty(p->transports))
        return false;
    buf_init(&value, ROUTE_MAX);
    status = address_find(p->classes, p->transports, p->transport_forms,
        address, &value, &extension, &why);
    if (status == TABLE_NOT_FOUND)
        status = table_list_find(p->transports, SLICE_LIT("*"), &value, &why);
    refuses = status == TABLE_ERROR ||
        (status == TABLE_FOUND && is_error_transport(buf_slice(&value)));
    buf_fini(&value);
    return refuses;
}

/* An address as the client gave it, and as it is looked up. */
struct listed {
    struct subject shown;
    struct slice address;
    const char *status; /* of a refusal that has none of its own */
};

/* What the transports error and retry would say of it later. */
static enum verdict
refuse_unroutable(struct evaluation *e, const struct listed *l,
    struct slice address)
{
    struct session *s = e->s;
    const struct route_question question = { s->mail.sender_rewritten, address,
        ROUTE_OF_MAIL };
    bool retry;
    char code[STATUS_SIZE], fallback[STATUS_SIZE];
    struct slice text;
    struct route route;
    struct why why;

    switch (recipient_is_rewritten(s->profile->recipients, address, &why)) {
    case TABLE_FOUND:
        return VERDICT_NONE;
    case TABLE_ERROR:
        return trouble(e, &l->shown, &why);
    case TABLE_NOT_FOUND:
        break;
    }
    if (route_resolve(&question, clock_now_ms() + ROUTE_WAIT_MS, &route,
            &why) != RESULT_OK)
        return trouble(e, &l->shown, &why);
    if (!is_error_transport(slice_of(route.transport)))
        return VERDICT_NONE;
    retry = strcmp(route.transport, "retry") == 0;
    (void)snprintf(fallback, sizeof(fallback), "%c%s", retry ? '4' : '5',
        l->status + 1);
    text = status_split(slice_of(route.nexthop), fallback, code);
    evaluation_fit_status(e, l->shown.class, code);
    return evaluation_refuse(e, retry ? 450 : 550, code,
        "<" SLICE_FMT ">: %s rejected: " SLICE_FMT, SLICE_ARG(l->shown.text),
        subject_name(l->shown.class), SLICE_ARG(text));
}

static enum verdict
refuse_unknown(struct evaluation *e, const struct listed *l,
    const struct routed *place)
{
    char status[STATUS_SIZE];
    int code = 451;
    struct why why;

    switch (recipient_check(e->s->profile->recipients, place->class,
        place->address, &code, &why)) {
    case RESULT_OK:
        return VERDICT_NONE;
    case RESULT_TEMPFAIL:
        return trouble(e, &l->shown, &why);
    case RESULT_PERMFAIL:
        break;
    }
    (void)snprintf(status, sizeof(status), "%s",
        place->class == CLASS_VIRTUAL_ALIAS ? why.status : l->status);
    evaluation_fit_status(e, l->shown.class, status);
    return evaluation_refuse_subject(e, &l->shown, code, status, why.text);
}

/* A route that says no has better words than that there is no such user. */
static enum verdict
refuse_unlisted(struct evaluation *e, const struct listed *l)
{
    enum verdict verdict = VERDICT_NONE;
    struct routed place;
    struct why why;

    if (l->address.len == 0)
        return VERDICT_NONE;
    if (recipient_place(e->s, l->address, &place, &why) != RESULT_OK)
        return trouble(e, &l->shown, &why);
    if (route_may_refuse(e->s->profile, place.address))
        verdict = refuse_unroutable(e, l, place.address);
    return verdict == VERDICT_NONE ? refuse_unknown(e, l, &place) : verdict;
}

enum verdict
recipient_refuse_unlisted(struct evaluation *e)
{
    if (e->listed_recipient || e->s->profile->no_unknown_recipient_checks)
        return VERDICT_NONE;
    e->listed_recipient = e->warn == 0;
    return refuse_unlisted(e,
        &(struct listed){ { SUBJECT_RECIPIENT, e->s->recipient },
            e->s->recipient_rewritten, "5.1.1" });
}

enum verdict
sender_refuse_unlisted(struct evaluation *e)
{
    if (e->listed_sender)
        return VERDICT_NONE;
    e->listed_sender = e->warn == 0;
    return refuse_unlisted(e,
        &(struct listed){ { SUBJECT_SENDER, e->s->mail.envelope.sender },
            e->s->mail.sender_rewritten, "5.1.0" });
}
