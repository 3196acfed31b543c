/*
 * check_server - check_*_{a,mx,ns}_access: tables that are asked for the hosts
 * behind a name: its addresses, its mail exchangers, its name servers.
 *
 * Names are asked for before their addresses. A name that DNS does not know of
 * is left to other restrictions.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/dns/dns_codec.h"
#include "smtpd/access_table.h"
#include "smtpd/checks.h"
#include "smtpd/hosts.h"
#include "smtpd/session.h"

/* A table that is asked, and for what. */
struct search {
    struct access access;
    struct hosts hosts;
    enum dns_type type; /* DNS_A, DNS_MX, DNS_NS */
};

/* Each address of a host. */
static enum verdict
host_addresses(struct search *s, struct slice host)
{
    struct access *a = &s->access;
    struct host_addresses *addresses;
    enum verdict verdict = VERDICT_NONE;
    struct why why;

    if (hosts_addresses(&s->hosts, host, &addresses, &why) != RESULT_OK)
        log_write(LOG_LEVEL_WARNING, a->e->s->profile->tag,
            "Unable to look up %s host " SLICE_FMT " for %s " SLICE_FMT ": %s",
            dns_type_name(s->type), SLICE_ARG(host),
            subject_name(a->subject.class), SLICE_ARG(a->subject.text),
            why.text);
    for (size_t i = 0;
         i < addresses->count && verdict == VERDICT_NONE && !a->found; i++) {
        char text[SOCK_TEXT_MAX];

        verdict = access_address(a,
            slice_of(sock_addr_text(&addresses->list[i], text)));
    }
    mem_free(addresses);
    return verdict;
}

/*
 * Many hosts that nobody answers for cost the time of one restriction; the
 * names of the others are asked for all the same.
 */
static enum verdict
each_host(struct search *s, const struct dns_answer *answer)
{
    struct access *a = &s->access;
    enum verdict verdict = VERDICT_NONE;

    for (size_t i = 0;
         i < answer->count && verdict == VERDICT_NONE && !a->found; i++) {
        struct slice host = answer->records[i].name;

        if (answer->records[i].type != s->type || host.len == 0)
            continue; /* an alias, a null MX */
        verdict = access_domain(a, host);
        if (verdict == VERDICT_NONE && !a->found && !hosts_are_late(&s->hosts))
            verdict = host_addresses(s, host);
    }
    return verdict;
}

/*
 * Without an MX the name is its own; name servers are those of the zone above
 * where the name has none.
 */
static enum verdict
servers(struct search *s, struct slice name)
{
    struct access *a = &s->access;
    const enum dns_type type = s->type;
    struct dns_answer answer;
    struct arena arena;
    struct slice domain = name;
    enum verdict verdict = VERDICT_NONE;
    enum dns_status status;
    struct why why;

    arena_init(&arena, HOSTS_ARENA_MAX);
    status = hosts_ask(&s->hosts, domain, type, &arena, &answer, &why);
    while (type == DNS_NS && status == DNS_NODATA &&
        slice_find(domain, '.') < domain.len) {
        domain = slice_skip(domain, slice_find(domain, '.') + 1);
        arena_clear(&arena);
        status = hosts_ask(&s->hosts, domain, type, &arena, &answer, &why);
    }
    if (status == DNS_OK) {
        verdict = each_host(s, &answer);
    } else if (type == DNS_MX &&
        (status == DNS_NODATA || status == DNS_NXDOMAIN)) {
        verdict = access_domain(a, domain);
        if (verdict == VERDICT_NONE && !a->found)
            verdict = host_addresses(s, domain);
    } else {
        log_write(LOG_LEVEL_WARNING, a->e->s->profile->tag,
            "Unable to look up %s host for " SLICE_FMT ": %s",
            dns_type_name(type), SLICE_ARG(domain), why.text);
    }
    arena_clear(&arena);
    return verdict;
}

/* "[192.0.2.1]", or a bare one, as clients say in HELO. */
static bool
is_address(struct slice domain, struct sock_addr *addr)
{
    if (domain.len > 2 && domain.ptr[0] == '[')
        domain = (struct slice){ domain.ptr + 1, domain.len - 2 };
    return sock_addr_parse(domain, 0, addr);
}

/* The address itself is the host. It has no name servers. */
static enum verdict
literal(struct search *s, const struct sock_addr *addr)
{
    char text[SOCK_TEXT_MAX];

    return s->type == DNS_NS
        ? VERDICT_NONE
        : access_address(&s->access, slice_of(sock_addr_text(addr, text)));
}

/* name is a host, or an address whose domain counts. */
static enum verdict
server_access(struct evaluation *e, const struct check *c,
    enum subject_class class, struct slice text, struct slice name,
    enum dns_type type)
{
    struct search s = {
        .access = { .e = e, .check = c, .subject = { class, text } },
        .hosts = hosts_for(e->s->profile),
        .type = type,
    };
    size_t at = slice_rfind(name, '@');
    struct slice domain = at < name.len ? slice_skip(name, at + 1) : name;
    struct sock_addr addr;
    enum verdict verdict;

    if (domain.len == 0)
        return VERDICT_NONE;
    if (is_address(domain, &addr))
        verdict = literal(&s, &addr);
    else if (domain.ptr[0] == '[')
        return VERDICT_NONE;
    else if (type == DNS_A)
        verdict = host_addresses(&s, domain);
    else
        verdict = servers(&s, domain);
    return access_allow(&s.access, verdict);
}

static enum verdict
client(struct evaluation *e, const struct check *c, enum dns_type type)
{
    struct slice name = slice_of(e->s->peer.name);

    return slice_eq_text(name, "unknown")
        ? VERDICT_NONE
        : server_access(e, c, SUBJECT_CLIENT, slice_of(e->s->peer.text), name,
              type);
}

static enum verdict
reverse_client(struct evaluation *e, const struct check *c, enum dns_type type)
{
    struct slice name = slice_of(session_reverse_name(e->s));

    return slice_eq_text(name, "unknown")
        ? VERDICT_NONE
        : server_access(e, c, SUBJECT_REVERSE_CLIENT, name, name, type);
}

static enum verdict
helo(struct evaluation *e, const struct check *c, enum dns_type type)
{
    struct slice name = slice_of(e->s->helo);

    return server_access(e, c, SUBJECT_HELO, name, name, type);
}

static enum verdict
sender(struct evaluation *e, const struct check *c, enum dns_type type)
{
    return server_access(e, c, SUBJECT_SENDER, e->s->mail.envelope.sender,
        e->s->mail.sender_rewritten, type);
}

static enum verdict
recipient(struct evaluation *e, const struct check *c, enum dns_type type)
{
    return server_access(e, c, SUBJECT_RECIPIENT, e->s->recipient,
        e->s->recipient_rewritten, type);
}

#define SERVER_CHECKS(of, name)        \
    CHECK_FN(check_##name##_a_access)  \
    {                                  \
        return of(e, c, DNS_A);        \
    }                                  \
    CHECK_FN(check_##name##_mx_access) \
    {                                  \
        return of(e, c, DNS_MX);       \
    }                                  \
    CHECK_FN(check_##name##_ns_access) \
    {                                  \
        return of(e, c, DNS_NS);       \
    }

SERVER_CHECKS(client, client)
SERVER_CHECKS(reverse_client, reverse_client_hostname)
SERVER_CHECKS(helo, helo)
SERVER_CHECKS(sender, sender)
SERVER_CHECKS(recipient, recipient)
