#include "lib/config/set.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

enum { NETWORKS_MAX = 65536 };

static const char *
value_of(const struct config_scope *scope, const char *name)
{
    const char *raw = scope_raw(scope, slice_of(name)), *value;
    struct why why;

    if (raw == NULL || scope_expand(scope, raw, &value, &why) != RESULT_OK)
        return "";
    return value;
}

/* The host's name, made fully qualified. */
static const char *
myhostname(const struct config_scope *scope)
{
    const char *host = fact_get(scope->set, "hostname");
    const char *domain = "localdomain";

    if (strchr(host, '.') != NULL)
        return host;
    if (scope_origin(scope, SLICE_LIT("mydomain")) != NULL)
        domain = value_of(scope, "mydomain");
    return set_format(scope->set, "%s.%s", host, domain);
}

static const char *
mydomain(const struct config_scope *scope)
{
    const char *dot = strchr(value_of(scope, "myhostname"), '.');

    return dot == NULL || dot[1] == '\0' ? "localdomain" : dot + 1;
}

/* PREFIX/sbin or PREFIX/libexec/postern beside the running program. */
static const char *
sibling(const struct config_scope *scope, const char *part)
{
    struct slice path = slice_of(fact_get(scope->set, "program"));
    struct slice prefix = slice_head(path, slice_rfind(path, '/'));
    static const struct slice dirs[] = {
        { "/libexec/postern", 16 },
        { "/sbin", 5 },
        { "/bin", 4 },
    };

    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        if (slice_ends_nocase(prefix, dirs[i])) {
            prefix.len -= dirs[i].len;
            return set_format(scope->set, SLICE_FMT "/%s", SLICE_ARG(prefix),
                part);
        }
    }
    return set_format(scope->set, "/usr/local/%s", part);
}

static const char *
command_directory(const struct config_scope *scope)
{
    return sibling(scope, "sbin");
}

static const char *
daemon_directory(const struct config_scope *scope)
{
    return sibling(scope, "libexec/postern");
}

/* An address of ours: octets in network order. */
struct own_address {
    int family;
    unsigned char octet[16];
    unsigned bits;    /* of the address: 32 or 128 */
    unsigned network; /* length of its network's prefix */
};

/* "10.0.0.5/24" */
static bool
parse_address(struct slice s, struct own_address *a)
{
    char text[64];
    size_t slash = slice_find(s, '/');

    if (s.len >= sizeof(text) || slash == s.len)
        return false;
    memcpy(text, s.ptr, slash);
    text[slash] = '\0';
    a->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    a->bits = a->family == AF_INET6 ? 128 : 32;
    a->network = 0;
    for (size_t i = slash + 1; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9' || a->network > 128)
            return false;
        a->network = a->network * 10 + (unsigned)(s.ptr[i] - '0');
    }
    return a->network <= a->bits && inet_pton(a->family, text, a->octet) == 1;
}

static bool
is_loopback(const struct own_address *a)
{
    static const unsigned char six[16] = { [15] = 1 };

    return a->family == AF_INET ? a->octet[0] == 127
                                : memcmp(a->octet, six, sizeof(six)) == 0;
}

/* Class A, B, C of old; IPv6 has none, so its own network serves. */
static unsigned
class_bits(const struct own_address *a)
{
    if (a->family == AF_INET6)
        return a->network;
    return a->octet[0] < 128 ? 8
        : a->octet[0] < 192  ? 16
        : a->octet[0] < 224  ? 24
                             : 32;
}

static void
add_network(struct own_address a, unsigned bits, struct buf *to)
{
    char text[INET6_ADDRSTRLEN], entry[INET6_ADDRSTRLEN + 8];
    struct slice all;

    for (unsigned i = bits; i < a.bits; i++)
        a.octet[i / 8] &= (unsigned char)~(0x80 >> (i % 8));
    inet_ntop(a.family, a.octet, text, sizeof(text));
    snprintf(entry, sizeof(entry), a.family == AF_INET6 ? "[%s]/%u " : "%s/%u ",
        text, bits);
    /* Two interfaces of one network make one entry. */
    all = buf_slice(to);
    for (size_t i = 0; i < all.len;
         i += slice_find(slice_skip(all, i), ' ') + 1) {
        if (slice_starts(slice_skip(all, i), slice_of(entry)))
            return;
    }
    buf_add_text(to, entry);
}

struct networks {
    const struct config_scope *scope;
    bool four, six; /* inet_protocols */
    const char *style;
    struct buf *to;
};

static void
add_addresses(const struct networks *n, const char *list, bool loopback_only)
{
    struct slice rest = slice_of(list), word;
    struct own_address a;

    while (slice_word(&rest, " ", &word)) {
        if (!parse_address(word, &a) ||
            !(a.family == AF_INET6 ? n->six : n->four) ||
            (loopback_only && !is_loopback(&a)))
            continue;
        if (strcmp(n->style, "host") == 0)
            add_network(a, a.bits, n->to);
        else if (strcmp(n->style, "class") == 0)
            add_network(a, class_bits(&a), n->to);
        else
            add_network(a, a.network, n->to);
    }
}

/* A host address of inet_interfaces has the network of its interface. */
static void
add_host(const struct networks *n, struct slice name)
{
    struct config_set *set = n->scope->set;
    struct slice own = slice_of(fact_get(set, "interfaces")), word, rest;
    struct buf known;
    const char *key;

    if (name.len > 2 && name.ptr[0] == '[')
        name = (struct slice){ name.ptr + 1, name.len - 2 };
    key = set_format(set, "host:" SLICE_FMT, SLICE_ARG(name));
    buf_init(&known, NETWORKS_MAX);
    rest = slice_of(fact_get(set, key));
    while (slice_word(&rest, " ", &word)) {
        struct slice address = slice_head(word, slice_find(word, '/') + 1);
        struct slice all = own, w;

        while (slice_word(&all, " ", &w)) {
            if (slice_starts(w, address))
                word = w;
        }
        buf_add(&known, word);
        buf_add_octet(&known, ' ');
    }
    add_addresses(n, buf_text(&known), false);
    buf_fini(&known);
}

static bool
has_protocol(struct slice list, const char *name)
{
    struct slice word;

    while (config_list_next(&list, &word)) {
        if (slice_eq_text(word, name) || slice_eq_text(word, "all"))
            return true;
    }
    return false;
}

/* postconf(5): mynetworks is made from mynetworks_style where it is not set. */
static const char *
mynetworks(const struct config_scope *scope)
{
    struct slice protocols = slice_of(value_of(scope, "inet_protocols"));
    struct slice rest = slice_of(value_of(scope, "inet_interfaces")), word;
    const char *own = fact_get(scope->set, "interfaces"), *text;
    struct buf list;
    struct networks n = { .scope = scope,
        .four = has_protocol(protocols, "ipv4"),
        .six = has_protocol(protocols, "ipv6"),
        .style = value_of(scope, "mynetworks_style"),
        .to = &list };

    buf_init(&list, NETWORKS_MAX);
    while (config_list_next(&rest, &word)) {
        if (slice_eq_nocase(word, SLICE_LIT("all")))
            add_addresses(&n, own, false);
        else if (slice_eq_nocase(word, SLICE_LIT("loopback-only")))
            add_addresses(&n, own, true);
        else
            add_host(&n, word);
    }
    text = set_text(scope->set, slice_trim(buf_slice(&list)));
    buf_fini(&list);
    return text;
}

static const char *
config_directory_of(const struct config_scope *scope)
{
    return scope->set->directory;
}

static const char *
service_name(const struct config_scope *scope)
{
    return scope->service_name == NULL ? "" : scope->service_name;
}

static const char *
process_name(const struct config_scope *scope)
{
    return scope->program == NULL ? "" : scope->program;
}

static const struct {
    const char *name;
    const char *(*compute)(const struct config_scope *scope);
    bool always;
} table[] = {
    { "command_directory", command_directory, false },
    { "config_directory", config_directory_of, true },
    { "daemon_directory", daemon_directory, false },
    { "mydomain", mydomain, false },
    { "myhostname", myhostname, false },
    { "mynetworks", mynetworks, false },
    { "process_name", process_name, true },
    { "service_name", service_name, true },
};

static const char *
computed(const struct config_scope *scope, struct slice name, bool always)
{
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].always == always && slice_eq_text(name, table[i].name))
            return table[i].compute(scope);
    }
    return NULL;
}

const char *
computed_default(const struct config_scope *scope, struct slice name)
{
    return computed(scope, name, false);
}

const char *
computed_always(const struct config_scope *scope, struct slice name)
{
    return computed(scope, name, true);
}
