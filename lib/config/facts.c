#include "lib/base/mem.h"
#include "lib/config/set.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <limits.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

enum { FACT_MAX = 65536 };

static void
ask_hostname(struct buf *to)
{
    char name[HOST_NAME_MAX + 1] = "";

    if (gethostname(name, sizeof(name) - 1) < 0 || name[0] == '\0')
        buf_add_text(to, "localhost");
    else
        buf_add_text(to, name);
}

/* The running program's file, which says where its siblings lie. */
static void
ask_program(struct buf *to)
{
    char *path = buf_reserve(to, PATH_MAX);
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX);

    if (n > 0 && n < PATH_MAX)
        buf_advance(to, (size_t)n);
}

static unsigned
mask_bits(const void *mask, size_t len)
{
    const unsigned char *octet = mask;
    unsigned bits = 0;

    for (size_t i = 0; i < len; i++)
        bits += (unsigned)__builtin_popcount(octet[i]);
    return bits;
}

/* "10.0.0.5/24 ": address and length of its network. */
static void
add_address(struct buf *to, const struct sockaddr *address,
    const struct sockaddr *mask)
{
    char text[INET6_ADDRSTRLEN];

    if (address->sa_family == AF_INET) {
        struct sockaddr_in a, m = { 0 };

        memcpy(&a, address, sizeof(a));
        memset(&m.sin_addr, 0xff, sizeof(m.sin_addr));
        if (mask != NULL)
            memcpy(&m, mask, sizeof(m));
        inet_ntop(AF_INET, &a.sin_addr, text, sizeof(text));
        buf_add_format(to, "%s/%u ", text,
            mask_bits(&m.sin_addr, sizeof(m.sin_addr)));
    } else if (address->sa_family == AF_INET6) {
        struct sockaddr_in6 a, m = { 0 };

        memcpy(&a, address, sizeof(a));
        memset(&m.sin6_addr, 0xff, sizeof(m.sin6_addr));
        if (mask != NULL)
            memcpy(&m, mask, sizeof(m));
        inet_ntop(AF_INET6, &a.sin6_addr, text, sizeof(text));
        buf_add_format(to, "%s/%u ", text,
            mask_bits(&m.sin6_addr, sizeof(m.sin6_addr)));
    }
}

static void
ask_interfaces(struct buf *to)
{
    struct ifaddrs *all;

    if (getifaddrs(&all) < 0)
        return;
    for (struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
        if (i->ifa_addr != NULL && (i->ifa_flags & IFF_UP))
            add_address(to, i->ifa_addr, i->ifa_netmask);
    }
    freeifaddrs(all);
}

/* The addresses of a host in inet_interfaces or the like. */
static void
ask_host(const char *name, struct buf *to)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *all;

    if (getaddrinfo(name, NULL, &hints, &all) != 0)
        return;
    for (struct addrinfo *a = all; a != NULL; a = a->ai_next)
        add_address(to, a->ai_addr, NULL);
    freeaddrinfo(all);
}

/* First line of a small file, as Debian's myorigin = /etc/mailname wants. */
static void
ask_file(const char *path, struct buf *to)
{
    char text[1024];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t n;

    if (fd < 0)
        return;
    n = read(fd, text, sizeof(text));
    close(fd);
    if (n > 0) {
        struct slice s = { text, (size_t)n };

        buf_add(to, slice_trim(slice_head(s, slice_find(s, '\n'))));
    }
}

static void
ask(const char *key, struct buf *to)
{
    if (strcmp(key, "hostname") == 0)
        ask_hostname(to);
    else if (strcmp(key, "program") == 0)
        ask_program(to);
    else if (strcmp(key, "interfaces") == 0)
        ask_interfaces(to);
    else if (strncmp(key, "host:", 5) == 0)
        ask_host(key + 5, to);
    else if (strncmp(key, "file:", 5) == 0)
        ask_file(key + 5, to);
}

static bool
same_key(const struct map_node *node, const void *key)
{
    return strcmp(((const struct fact *)node)->key, key) == 0;
}

void
fact_put(struct config_set *set, const char *key, struct slice text)
{
    uint64_t hash = map_hash_slice(slice_of(key));
    struct fact *f;

    if (map_find(&set->facts, hash, same_key, key) != NULL)
        return;
    f = set_alloc(set, sizeof(*f));
    f->key = set_text(set, slice_of(key));
    f->text = set_text(set, text);
    f->next = set->first_fact;
    set->first_fact = f;
    map_add(&set->facts, hash, &f->node);
}

const char *
fact_get(struct config_set *set, const char *key)
{
    uint64_t hash = map_hash_slice(slice_of(key));
    struct map_node *node = map_find(&set->facts, hash, same_key, key);
    struct buf answer;

    if (node == NULL && !set->live)
        return "";
    if (node == NULL) {
        buf_init(&answer, FACT_MAX);
        ask(key, &answer);
        fact_put(set, key, slice_trim(buf_slice(&answer)));
        buf_fini(&answer);
        node = map_find(&set->facts, hash, same_key, key);
    }
    return ((const struct fact *)node)->text;
}
