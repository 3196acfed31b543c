#include "master/addresses.h"

#include "lib/base/mem.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <string.h>

/* What inet_protocols allows: AF_UNSPEC for both. */
static enum result
find_family(const struct config *config, int *family, struct why *why)
{
    struct slice rest = slice_of(config->inet_protocols), word;
    bool v4 = false, v6 = false;

    while (config_list_next(&rest, &word)) {
        bool all = slice_eq_text(word, "all");

        if (!all && !slice_eq_text(word, "ipv4") &&
            !slice_eq_text(word, "ipv6"))
            return why_perm(why, "5.3.5",
                "parameter inet_protocols: unknown protocol: " SLICE_FMT,
                SLICE_ARG(word));
        v4 = v4 || all || slice_eq_text(word, "ipv4");
        v6 = v6 || all || slice_eq_text(word, "ipv6");
    }
    if (!v4 && !v6)
        return why_perm(why, "5.3.5", "parameter inet_protocols is empty");
    *family = v4 && v6 ? AF_UNSPEC : v4 ? AF_INET : AF_INET6;
    return RESULT_OK;
}

static bool
same(const struct sock_addr *a, const struct sock_addr *b)
{
    return a->len == b->len && memcmp(&a->u, &b->u, a->len) == 0;
}

/* Doubles are left out: "localhost, 127.0.0.1" is one socket. */
static enum result
add(struct addresses *to, const struct sockaddr *any, socklen_t len,
    uint16_t port, struct why *why)
{
    struct sock_addr addr = { .len = len };

    if (len > sizeof(addr.u))
        return RESULT_OK;
    memcpy(&addr.u, any, len);
    sock_addr_set_port(&addr, port);
    for (size_t i = 0; i < to->count; i++)
        if (same(&to->list[i], &addr))
            return RESULT_OK;
    if (to->count == ADDRESSES_MAX)
        return why_perm(why, "5.3.5", "more than %d addresses to listen on",
            ADDRESSES_MAX);
    to->list[to->count++] = addr;
    return RESULT_OK;
}

static enum result
add_host(struct addresses *to, struct slice host, int family, uint16_t port,
    struct why *why)
{
    struct addrinfo hints = { .ai_family = family, .ai_socktype = SOCK_STREAM };
    struct addrinfo *list;
    char *name;
    enum result res = RESULT_OK;
    int error;

    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_head(slice_skip(host, 1), host.len - 2);
    name = mem_text_of(host);
    error = getaddrinfo(name, NULL, &hints, &list);
    if (error != 0) {
        res = why_perm(why, "5.3.5", "host %s: %s", name, gai_strerror(error));
        mem_free(name);
        return res;
    }
    mem_free(name);
    for (struct addrinfo *ai = list; ai != NULL && res == RESULT_OK;
         ai = ai->ai_next)
        res = add(to, ai->ai_addr, ai->ai_addrlen, port, why);
    freeaddrinfo(list);
    return res;
}

static enum result
add_wildcards(struct addresses *to, int family, uint16_t port, struct why *why)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
    enum result res = RESULT_OK;

    to->wildcard = true;
    if (family != AF_INET6)
        res = add(to, (struct sockaddr *)&in, sizeof(in), port, why);
    if (family != AF_INET && res == RESULT_OK)
        res = add(to, (struct sockaddr *)&in6, sizeof(in6), port, why);
    return res;
}

static socklen_t
length_of(const struct sockaddr *any)
{
    return any->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                      : sizeof(struct sockaddr_in);
}

static enum result
add_loopback(struct addresses *to, int family, uint16_t port, struct why *why)
{
    struct ifaddrs *list;
    enum result res = RESULT_OK;

    if (getifaddrs(&list) < 0)
        return why_errno(why, "list the network interfaces");
    for (struct ifaddrs *i = list; i != NULL && res == RESULT_OK;
         i = i->ifa_next) {
        const struct sockaddr *any = i->ifa_addr;

        if (any == NULL || (i->ifa_flags & IFF_LOOPBACK) == 0 ||
            (any->sa_family != AF_INET && any->sa_family != AF_INET6) ||
            (family != AF_UNSPEC && any->sa_family != family))
            continue;
        res = add(to, any, length_of(any), port, why);
    }
    freeifaddrs(list);
    return res;
}

static enum result
add_interfaces(struct addresses *to, const struct config *config, int family,
    uint16_t port, struct why *why)
{
    struct slice rest = slice_of(config->inet_interfaces), word;
    enum result res = RESULT_OK;

    while (res == RESULT_OK && config_list_next(&rest, &word)) {
        if (slice_eq_text(word, "all"))
            res = add_wildcards(to, family, port, why);
        else if (slice_eq_text(word, "loopback-only"))
            res = add_loopback(to, family, port, why);
        else
            res = add_host(to, word, family, port, why);
    }
    return res;
}

enum result
addresses_find(const struct service *service, struct addresses *found,
    struct why *why)
{
    struct slice name = slice_of(service->name);
    size_t colon = slice_rfind(name, ':');
    bool has_host = colon < name.len;
    struct slice port_text = has_host ? slice_skip(name, colon + 1) : name;
    struct slice host = slice_head(name, colon);
    enum result res;
    uint16_t port;
    int family = AF_UNSPEC;

    memset(found, 0, sizeof(*found));
    if (!sock_port_parse(port_text, &port) || port == 0)
        return why_perm(why, "5.3.5", "service %s/%s: unknown port: " SLICE_FMT,
            service->name, service->type, SLICE_ARG(port_text));
    res = find_family(service->config, &family, why);
    if (res != RESULT_OK)
        return res;
    res = has_host && host.len > 0
        ? add_host(found, host, family, port, why)
        : add_interfaces(found, service->config, family, port, why);
    if (res == RESULT_OK && found->count == 0)
        res = why_perm(why, "5.3.5", "service %s/%s: no address to listen on",
            service->name, service->type);
    return res;
}
