/*
 * check_mx_backup - permit_mx_backup: recipients of domains for which DNS names
 * us as an exchanger of last resort.
 */
#include "lib/base/mem.h"
#include "lib/mail/own_addresses.h"
#include "smtpd/checks.h"
#include "smtpd/hosts.h"
#include "smtpd/recipient.h"
#include "smtpd/session.h"

/* An evaluation of one domain's exchangers. */
struct backup {
    struct evaluation *e;
    struct hosts hosts;
    const struct dns_answer *mx;
    uint16_t best;
    bool unsure; /* DNS did not tell all */
};

static void
cannot_look_up(struct backup *b, struct slice host, const struct why *why)
{
    b->unsure = true;
    (void)evaluation_defer_if_reject(b->e, 450, "4.4.4",
        "<" SLICE_FMT
        ">: Recipient address rejected: Unable to look up host " SLICE_FMT
        " as mail exchanger: %s",
        SLICE_ARG(b->e->s->recipient), SLICE_ARG(host), why->text);
}

typedef bool (
    *address_fn)(struct backup *b, struct slice host, struct slice address);

static bool
is_own_address(struct backup *b, struct slice host, struct slice address)
{
    (void)host;
    return own_addresses_have(b->e->s->profile->own, address);
}

static bool
is_foreign_to_networks(struct backup *b, struct slice host,
    struct slice address)
{
    struct why why;

    return match_list_find_host(b->e->s->profile->mx_backup_networks, host,
               address, &why) != TABLE_FOUND;
}

/* Has one of the host's addresses the property? */
static bool
any_address(struct backup *b, struct slice host, address_fn has)
{
    struct host_addresses *addresses;
    bool any = false;
    struct why why;

    if (hosts_addresses(&b->hosts, host, &addresses, &why) == RESULT_TEMPFAIL)
        cannot_look_up(b, host, &why);
    /* Who has no address is at none of the networks, whatever he gets later. */
    any = addresses->count == 0 && has == is_foreign_to_networks;
    for (size_t i = 0; i < addresses->count && !any; i++) {
        char text[SOCK_TEXT_MAX];

        any = has(b, host, slice_of(sock_addr_text(&addresses->list[i], text)));
    }
    mem_free(addresses);
    return any;
}

/* Named as ours, or at one of our addresses. */
static bool
is_mine(struct backup *b, struct slice host)
{
    struct why why;

    return address_class_is_local(b->e->s->profile->classes, host, &why) ==
        TABLE_FOUND ||
        any_address(b, host, is_own_address);
}

static bool
i_am_backup(struct backup *b)
{
    bool listed = false;

    for (size_t i = 0; i < b->mx->count; i++) {
        const struct dns_record *mx = &b->mx->records[i];

        if (mx->type != DNS_MX || mx->name.len == 0 || !is_mine(b, mx->name))
            continue;
        if (mx->preference == b->best)
            return false; /* the first choice is no backup */
        listed = true;
    }
    return listed;
}

/* permit_mx_backup_networks: all that we would pass the mail on to. */
static bool
primaries_are_known(struct backup *b)
{
    if (b->e->s->config->permit_mx_backup_networks[0] == '\0')
        return true;
    for (size_t i = 0; i < b->mx->count; i++) {
        const struct dns_record *mx = &b->mx->records[i];

        if (mx->type == DNS_MX && mx->preference == b->best &&
            any_address(b, mx->name, is_foreign_to_networks))
            return false;
    }
    return !b->unsure;
}

static bool
is_backup(struct evaluation *e, struct slice domain)
{
    struct backup b = {
        .e = e,
        .hosts = hosts_for(e->s->profile),
        .best = UINT16_MAX,
    };
    struct dns_answer answer;
    struct arena arena;
    bool ok = false;
    enum dns_status status;
    struct why why;

    arena_init(&arena, HOSTS_ARENA_MAX);
    b.mx = &answer;
    status = hosts_ask(&b.hosts, domain, DNS_MX, &arena, &answer, &why);
    if (status == DNS_TRYAGAIN)
        (void)evaluation_defer_if_reject(e, 450, "4.4.4",
            "<" SLICE_FMT ">: Recipient address rejected: Unable to look up "
            "mail exchanger information: %s",
            SLICE_ARG(e->s->recipient), why.text);
    if (status == DNS_OK) {
        for (size_t i = 0; i < answer.count; i++)
            if (answer.records[i].type == DNS_MX &&
                answer.records[i].preference < b.best)
                b.best = answer.records[i].preference;
        ok = i_am_backup(&b) && primaries_are_known(&b);
    }
    arena_clear(&arena);
    return ok;
}

CHECK_FN(check_permit_mx_backup)
{
    struct session *s = e->s;
    struct subject about = { SUBJECT_RECIPIENT, s->recipient };
    struct routed place;
    struct why why;

    if (s->recipient.len == 0)
        return VERDICT_NONE;
    if (recipient_place(s, s->recipient_rewritten, &place, &why) != RESULT_OK)
        return evaluation_fail_lookup(e, &why);
    if (place.asks_for_more && !s->config->allow_untrusted_routing)
        return VERDICT_NONE;
    if (place.class == CLASS_DEFAULT &&
        (place.domain.len == 0 || place.domain.ptr[0] == '[' ||
            !is_backup(e, place.domain)))
        return VERDICT_NONE;
    return evaluation_permit(e, c->what->name, &about, "");
}
