#include "lib/table/net.h"

#include "lib/base/num.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>

static bool
take_presentation(int family, struct slice text, void *to)
{
    char copy[INET6_ADDRSTRLEN + 1];

    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, to) == 1;
}

bool
net_address_parse(struct slice text, struct net_address *address)
{
    static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff,
        0xff };
    const struct slice tag = SLICE_LIT("IPv6:");
    struct net_address a = { 0 };

    if (take_presentation(AF_INET, text, a.octets)) {
        a.size = 4;
        *address = a;
        return true;
    }
    if (slice_starts_nocase(text, tag))
        text = slice_skip(text, tag.len);
    if (!take_presentation(AF_INET6, text, a.octets))
        return false;
    a.size = 16;
    if (memcmp(a.octets, mapped, sizeof(mapped)) == 0) {
        a.size = 4;
        memcpy(a.octets, a.octets + sizeof(mapped), 4);
    }
    *address = a;
    return true;
}

/* Where they differ, of eight octets; the first bit is the highest. */
static uint64_t
difference(const uint8_t *a, const uint8_t *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return be64toh(x ^ y);
}

/* By words: a cidr: table asks this of each of its lines. */
static bool
equal_bits(const uint8_t a[16], const uint8_t b[16], unsigned bits)
{
    uint64_t high = difference(a, b);

    if (bits == 0)
        return true;
    if (bits <= 64)
        return high >> (64 - bits) == 0;
    return high == 0 && difference(a + 8, b + 8) >> (128 - bits) == 0;
}

static bool
has_host_bits(const struct net *net)
{
    for (unsigned bit = net->bits; bit < net->base.size * 8; bit++)
        if (net->base.octets[bit / 8] & (0x80U >> (bit % 8)))
            return true;
    return false;
}

enum net_syntax
net_parse(struct slice text, struct net *net)
{
    size_t slash = slice_find(text, '/');
    struct slice address = slice_head(text, slash);
    struct slice length = slice_skip(text, slash + 1);
    struct net n = { 0 };
    bool brackets = address.len > 2 && address.ptr[0] == '[' &&
        address.ptr[address.len - 1] == ']';
    uint32_t bits;

    if (brackets)
        address = (struct slice){ address.ptr + 1, address.len - 2 };
    if (!brackets && slice_find(address, ':') < address.len)
        return NET_NOT;
    if (!net_address_parse(address, &n.base))
        return NET_NOT;
    n.bits = n.base.size * 8;
    if (slash < text.len) {
        if (!num_parse_u32(length, n.bits, &bits))
            return NET_BAD_LENGTH;
        n.bits = bits;
    }
    if (has_host_bits(&n))
        return NET_HOST_BITS;
    *net = n;
    return NET_OK;
}

bool
net_address_parse_exact(struct slice text, struct net_address *address)
{
    struct net_address a = { 0 };

    if (take_presentation(AF_INET, text, a.octets))
        a.size = 4;
    else if (take_presentation(AF_INET6, text, a.octets))
        a.size = 16;
    else
        return false;
    *address = a;
    return true;
}

static bool
take_off_brackets(struct slice *text)
{
    if (text->len < 2 || text->ptr[0] != '[' || text->ptr[text->len - 1] != ']')
        return false;
    *text = (struct slice){ text->ptr + 1, text->len - 2 };
    return true;
}

enum net_syntax
net_parse_pattern(struct slice text, struct net *net)
{
    struct slice address, length;
    struct net n = { 0 };
    size_t slash;
    uint32_t bits;

    (void)take_off_brackets(&text);
    slash = slice_find(text, '/');
    address = slice_head(text, slash);
    length = slice_skip(text, slash + 1);
    (void)take_off_brackets(&address);
    if (!net_address_parse_exact(address, &n.base))
        return NET_NOT;
    n.bits = n.base.size * 8;
    if (slash < text.len) {
        if (!num_parse_u32(length, n.bits, &bits))
            return NET_BAD_LENGTH;
        n.bits = bits;
    }
    *net = n;
    return has_host_bits(&n) ? NET_HOST_BITS : NET_OK;
}

const char *
net_text(const struct net *net, char text[NET_TEXT_MAX])
{
    struct net_address base = net->base;
    char address[INET6_ADDRSTRLEN];

    for (unsigned bit = net->bits; bit < base.size * 8; bit++)
        base.octets[bit / 8] &= (uint8_t) ~(0x80U >> (bit % 8));
    if (inet_ntop(base.size == 4 ? AF_INET : AF_INET6, base.octets, address,
            sizeof(address)) == NULL)
        return "";
    (void)snprintf(text, NET_TEXT_MAX, "%s/%u", address, net->bits);
    return text;
}

bool
net_contains(const struct net *net, const struct net_address *address)
{
    return net->base.size == address->size &&
        equal_bits(net->base.octets, address->octets, net->bits);
}
