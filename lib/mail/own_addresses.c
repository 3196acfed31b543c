#include "lib/mail/own_addresses.h"

#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/io/offload.h"
#include "lib/table/net.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>

struct own_addresses {
    struct net_address *list;
    size_t count;
};

static void
add(struct own_addresses *own, const struct sockaddr *sa)
{
    struct net_address a = { 0 };

    if (sa == NULL)
        return;
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;

        memcpy(&in, sa, sizeof(in));
        a.size = 4;
        memcpy(a.octets, &in.sin_addr, 4);
    } else if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;

        memcpy(&in6, sa, sizeof(in6));
        a.size = 16;
        memcpy(a.octets, &in6.sin6_addr, 16);
    } else {
        return;
    }
    own->list = mem_resize(own->list, (own->count + 1) * sizeof(a));
    own->list[own->count++] = a;
}

static enum result
add_interfaces(struct own_addresses *own, bool loopback_only, struct why *why)
{
    struct ifaddrs *all;

    if (getifaddrs(&all) < 0)
        return why_errno(why, "list of network interfaces");
    for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next)
        if (!loopback_only || (i->ifa_flags & IFF_LOOPBACK))
            add(own, i->ifa_addr);
    freeifaddrs(all);
    return RESULT_OK;
}

struct name_question {
    const char *name;
    struct addrinfo *answer;
    int error;
};

static void
ask_name(void *arg)
{
    struct name_question *q = arg;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };

    q->error = getaddrinfo(q->name, NULL, &hints, &q->answer);
}

static enum result
add_name(struct own_addresses *own, const char *parameter, struct slice name,
    struct why *why)
{
    char *text = mem_text_of(name);
    struct name_question q = { .name = text };
    enum result res = RESULT_OK;

    offload(ask_name, &q);
    if (q.error != 0)
        res = why_perm(why, "5.3.5", "config variable %s: host not found: %s",
            parameter, text);
    else
        for (const struct addrinfo *i = q.answer; i != NULL; i = i->ai_next)
            add(own, i->ai_addr);
    if (q.error == 0)
        freeaddrinfo(q.answer);
    mem_free(text);
    return res;
}

static enum result
add_list(struct own_addresses *own, const char *parameter, const char *text,
    struct why *why)
{
    struct slice rest = slice_of(text), name;
    enum result res = RESULT_OK;

    while (res == RESULT_OK && config_list_next(&rest, &name)) {
        struct net_address a;

        if (name.len > 2 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
            name = (struct slice){ name.ptr + 1, name.len - 2 };
        if (slice_eq_nocase(name, SLICE_LIT("all"))) {
            res = add_interfaces(own, false, why);
        } else if (slice_eq_nocase(name, SLICE_LIT("loopback-only"))) {
            res = add_interfaces(own, true, why);
        } else if (net_address_parse(name, &a)) {
            own->list = mem_resize(own->list, (own->count + 1) * sizeof(a));
            own->list[own->count++] = a;
        } else {
            res = add_name(own, parameter, name, why);
        }
    }
    return res;
}

enum result
own_addresses_open(const struct config *config, struct own_addresses **out,
    struct why *why)
{
    struct own_addresses *own = mem_alloc(sizeof(*own));
    enum result res;

    res = add_list(own, "inet_interfaces", config->inet_interfaces, why);
    if (res == RESULT_OK)
        res = add_list(own, "proxy_interfaces", config->proxy_interfaces, why);
    if (res != RESULT_OK) {
        own_addresses_close(own);
        return res;
    }
    *out = own;
    return RESULT_OK;
}

void
own_addresses_close(struct own_addresses *own)
{
    if (own == NULL)
        return;
    mem_free(own->list);
    mem_free(own);
}

bool
own_addresses_have(const struct own_addresses *own, struct slice text)
{
    struct net_address a;

    if (!net_address_parse(text, &a))
        return false;
    for (size_t i = 0; i < own->count; i++)
        if (own->list[i].size == a.size &&
            memcmp(own->list[i].octets, a.octets, a.size) == 0)
            return true;
    return false;
}
