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
    ROUTES_MAX = 20, /* a%b%c@ours: rounds of looking behind it */
    ROUTE_WAIT_MS = 30 * 1000,
    ROUTE_MAX = 64 * 1024, /* octets of a value in transport_maps */
};

static enum verdict
trouble(struct evaluation *e, const char *class, struct slice address,
    const struct why *why)
{
    log_write(LOG_LEVEL_WARNING, e->s->profile->tag, "%s", why->text);
    (void)refusal_set(e->no, 451, "4.3.0",
        "<" SLICE_FMT ">: %s address rejected: Temporary lookup failure",
        SLICE_ARG(address), class);
    return VERDICT_REFUSED;
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

enum result
recipient_place(struct session *s, struct slice address,
    struct recipient_place *place, struct why *why)
{
    *place = (struct recipient_place){ .address = address };
    for (unsigned round = 0; round < ROUTES_MAX; round++) {
        struct slice local;
        enum result res;

        (void)address_split(place->address, &local, &place->domain);
        res = address_class_find(s->profile->classes, place->domain,
            &place->class, why);
        if (res != RESULT_OK)
            return res;
        if (!is_routed(s, local))
            return RESULT_OK;
        place->routed = true;
        if (place->class != CLASS_LOCAL)
            return RESULT_OK;
        res = rewrite_address(s->profile->rewrite, REWRITE_LOCAL, local,
            &s->mail.arena, &place->address, why);
        if (res != RESULT_OK)
            return res;
    }
    place->class = CLASS_DEFAULT;
    return RESULT_OK;
}

enum verdict
recipient_permit_destination(struct evaluation *e)
{
    struct session *s = e->s;
    struct recipient_place place;
    struct why why;

    if (s->recipient_rewritten.len == 0)
        return VERDICT_NONE;
    if (recipient_place(s, s->recipient_rewritten, &place, &why) != RESULT_OK)
        return trouble(e, "Recipient", s->recipient, &why);
    if (place.class == CLASS_DEFAULT ||
        (place.routed && !s->config->allow_untrusted_routing))
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

/* What the transports error and retry would say of it later. */
static enum verdict
refuse_unroutable(struct evaluation *e, const char *what, const char *status,
    struct slice shown, struct slice address)
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
        return trouble(e, what, shown, &why);
    case TABLE_NOT_FOUND:
        break;
    }
    if (route_resolve(&question, clock_now_ms() + ROUTE_WAIT_MS, &route,
            &why) != RESULT_OK)
        return trouble(e, what, shown, &why);
    if (!is_error_transport(slice_of(route.transport)))
        return VERDICT_NONE;
    retry = strcmp(route.transport, "retry") == 0;
    (void)snprintf(fallback, sizeof(fallback), "%c%s", retry ? '4' : '5',
        status + 1);
    text = status_split(slice_of(route.nexthop), fallback, code);
    return evaluation_refuse(e, retry ? 450 : 550, code,
        "<" SLICE_FMT ">: %s address rejected: " SLICE_FMT, SLICE_ARG(shown),
        what, SLICE_ARG(text));
}

static enum verdict
refuse_unlisted(struct evaluation *e, const char *what, const char *status,
    struct slice shown, struct slice address)
{
    struct session *s = e->s;
    struct recipient_place place;
    int code = 451;
    struct why why;
    enum result res;

    if (address.len == 0)
        return VERDICT_NONE;
    res = recipient_place(s, address, &place, &why);
    if (res == RESULT_OK)
        res = recipient_check(s->profile->recipients, place.class,
            place.address, &code, &why);
    switch (res) {
    case RESULT_OK:
        return route_may_refuse(s->profile, place.address)
            ? refuse_unroutable(e, what, status, shown, place.address)
            : VERDICT_NONE;
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
