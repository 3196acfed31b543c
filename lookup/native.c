#include "lookup/native.h"

#include "lib/base/mem.h"
#include "lib/dns/dns_codec.h"
#include "lib/io/offload.h"
#include "lookup/wire.h"

#include <netdb.h>
#include <stdio.h>

struct host_question {
    char host[DNS_NAME_MAX + 1];
    int family;
    int error; /* of getaddrinfo() */
    struct addrinfo *list;
};

/* On a thread of its own. */
static void
ask_host(void *arg)
{
    struct host_question *q = arg;
    struct addrinfo hints = {
        .ai_family = q->family,
        .ai_socktype = SOCK_STREAM,
    };

    q->error = getaddrinfo(q->host, NULL, &hints, &q->list);
}

static bool
is_temporary(int error)
{
    return error == EAI_AGAIN || error == EAI_MEMORY || error == EAI_SYSTEM;
}

static int
wanted_family(unsigned families)
{
    if (families == DNS_WANT_INET)
        return AF_INET;
    return families == DNS_WANT_INET6 ? AF_INET6 : AF_UNSPEC;
}

static void
take_addresses(const struct addrinfo *list, struct dns_answer *answer,
    size_t room)
{
    for (; list != NULL && answer->count < room; list = list->ai_next) {
        struct dns_record *r = &answer->records[answer->count];

        if (list->ai_family != AF_INET && list->ai_family != AF_INET6)
            continue;
        if (list->ai_addrlen > sizeof(r->addr.u))
            continue;
        r->type = list->ai_family == AF_INET ? DNS_A : DNS_AAAA;
        r->addr.len = list->ai_addrlen;
        memcpy(&r->addr.u, list->ai_addr, list->ai_addrlen);
        answer->count++;
    }
}

enum dns_status
native_host(struct slice host, unsigned families, struct arena *arena,
    struct dns_answer *answer, struct why *why)
{
    struct host_question q = { .family = wanted_family(families) };
    size_t room = DNS_RECORDS_MAX;

    *answer = (struct dns_answer){ .status = DNS_INVALID };
    if (host.len == 0 || host.len > DNS_NAME_MAX ||
        memchr(host.ptr, '\0', host.len) != NULL) {
        (void)why_perm(why, "5.4.4", "invalid host name");
        return DNS_INVALID;
    }
    memcpy(q.host, host.ptr, host.len);
    offload(ask_host, &q);
    if (q.error != 0) {
        bool soft = is_temporary(q.error);

        answer->status = soft ? DNS_TRYAGAIN : DNS_NXDOMAIN;
        (soft ? why_temp : why_perm)(why, soft ? "4.4.3" : "5.4.4",
            "unable to look up host %s: %s", q.host, gai_strerror(q.error));
        return answer->status;
    }
    answer->records = arena_alloc(arena, room * sizeof(answer->records[0]));
    if (answer->records == NULL) {
        freeaddrinfo(q.list);
        (void)why_temp(why, "4.3.0", "no memory for addresses of %s", q.host);
        return answer->status = DNS_TRYAGAIN;
    }
    take_addresses(q.list, answer, room);
    freeaddrinfo(q.list);
    if (answer->count > 0)
        return answer->status = DNS_OK;
    (void)why_perm(why, "5.4.4", "unable to look up host %s: %s", q.host,
        gai_strerror(EAI_NONAME));
    return answer->status = DNS_NODATA;
}

struct client_question {
    struct sock_addr addr;
    struct client_name name;
};

static bool
list_has_address(const struct addrinfo *list, const struct sock_addr *addr)
{
    char want[SOCK_TEXT_MAX], have[SOCK_TEXT_MAX];

    sock_addr_text(addr, want);
    for (; list != NULL; list = list->ai_next) {
        struct sock_addr a = { .len = list->ai_addrlen };

        if (a.len > sizeof(a.u))
            continue;
        memcpy(&a.u, list->ai_addr, a.len);
        if (strcmp(sock_addr_text(&a, have), want) == 0)
            return true;
    }
    return false;
}

/* text is no longer than DNS_NAME_MAX. */
static void
set_name(char to[256], const char *text)
{
    snprintf(to, 256, "%.255s", text);
}

/* Does the name lead back to the address? */
static void
confirm(struct client_question *q)
{
    struct host_question h = { .family = q->addr.u.any.sa_family };

    snprintf(h.host, sizeof(h.host), "%s", q->name.reverse_name);
    ask_host(&h);
    if (h.error != 0) {
        q->name.status = is_temporary(h.error) ? CLIENT_NAME_TEMP
                                               : CLIENT_NAME_PERM;
        return;
    }
    if (list_has_address(h.list, &q->addr)) {
        q->name.status = CLIENT_NAME_OK;
        set_name(q->name.name, q->name.reverse_name);
    } else {
        q->name.status = CLIENT_NAME_PERM;
    }
    freeaddrinfo(h.list);
}

/* On a thread of its own. */
static void
ask_client(void *arg)
{
    struct client_question *q = arg;
    char name[NI_MAXHOST];
    int error;

    set_name(q->name.name, "unknown");
    set_name(q->name.reverse_name, "unknown");
    error = getnameinfo(&q->addr.u.any, q->addr.len, name, sizeof(name), NULL,
        0, NI_NAMEREQD);
    if (error != 0) {
        q->name.status = q->name.reverse_status = is_temporary(error)
            ? CLIENT_NAME_TEMP
            : CLIENT_NAME_PERM;
        return;
    }
    /* A name that could be an address, or worse, is no name. */
    if (strlen(name) > DNS_NAME_MAX || !wire_name_is_valid(slice_of(name))) {
        q->name.status = q->name.reverse_status = CLIENT_NAME_PERM;
        return;
    }
    q->name.reverse_status = CLIENT_NAME_OK;
    set_name(q->name.reverse_name, name);
    confirm(q);
}

void
native_client(const struct sock_addr *addr, struct client_name *name)
{
    struct client_question *q = mem_alloc(sizeof(*q));

    q->addr = *addr;
    offload(ask_client, q);
    *name = q->name;
    mem_free(q);
}
