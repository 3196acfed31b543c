#include "lib/dns/dns_list.h"

#include "lib/base/num.h"

enum { OCTETS = 4 };

static void
set_add(struct octet_set *set, uint32_t low, uint32_t high)
{
    for (uint32_t n = low; n <= high; n++)
        set->bits[n / 64] |= UINT64_C(1) << (n % 64);
}

static bool
set_has(const struct octet_set *set, unsigned octet)
{
    return (set->bits[octet / 64] >> (octet % 64) & 1) != 0;
}

/* "7" or "2..11" */
static bool
parse_range(struct slice text, struct octet_set *set)
{
    uint32_t low, high;
    size_t dot = slice_find(text, '.');

    if (!num_parse_u32(slice_trim(slice_head(text, dot)), 255, &low))
        return false;
    if (dot == text.len) {
        set_add(set, low, low);
        return true;
    }
    if (dot + 1 >= text.len || text.ptr[dot + 1] != '.' ||
        !num_parse_u32(slice_trim(slice_skip(text, dot + 2)), 255, &high) ||
        high < low)
        return false;
    set_add(set, low, high);
    return true;
}

/* "7", "[7]" or "[1;2..11]" at the start of *rest. */
static bool
parse_octet(struct slice *rest, struct octet_set *set)
{
    struct slice text;
    size_t end;

    if (rest->len == 0 || rest->ptr[0] != '[') {
        text = slice_head(*rest, slice_find(*rest, '.'));
        *rest = slice_skip(*rest, text.len);
        return slice_find(text, ';') == text.len && parse_range(text, set);
    }
    end = slice_find(*rest, ']');
    if (end == rest->len)
        return false;
    text = slice_skip(slice_head(*rest, end), 1);
    *rest = slice_skip(*rest, end + 1);
    for (;;) {
        struct slice range = slice_head(text, slice_find(text, ';'));

        if (!parse_range(range, set))
            return false;
        if (range.len == text.len)
            return true;
        text = slice_skip(text, range.len + 1);
    }
}

static bool
parse_pattern(struct slice rest, struct octet_set octets[OCTETS])
{
    for (unsigned i = 0; i < OCTETS; i++) {
        if (i > 0) {
            if (rest.len == 0 || rest.ptr[0] != '.')
                return false;
            rest = slice_skip(rest, 1);
        }
        if (!parse_octet(&rest, &octets[i]))
            return false;
    }
    return rest.len == 0;
}

enum result
dns_list_parse(struct slice text, struct dns_list *list, struct why *why)
{
    size_t equals = slice_find(text, '=');

    *list = (struct dns_list){ .domain = slice_head(text, equals),
        .any = equals == text.len };
    if (list->domain.len == 0)
        return why_perm(why, "4.3.5", "no domain in \"" SLICE_FMT "\"",
            SLICE_ARG(text));
    if (!list->any &&
        !parse_pattern(slice_skip(text, equals + 1), list->octets))
        return why_perm(why, "4.3.5", "bad pattern in \"" SLICE_FMT "\"",
            SLICE_ARG(text));
    return RESULT_OK;
}

bool
dns_list_matches(const struct dns_list *list, const struct sock_addr *addr)
{
    uint32_t ip;

    if (addr->u.any.sa_family != AF_INET)
        return false;
    ip = ntohl(addr->u.in.sin_addr.s_addr);
    for (unsigned i = 0; !list->any && i < OCTETS; i++)
        if (!set_has(&list->octets[i], ip >> (24 - 8 * i) & 255))
            return false;
    return true;
}

bool
dns_list_name_of_address(struct slice address, struct slice domain,
    struct buf *to)
{
    static const char hex[] = "0123456789abcdef";
    struct sock_addr addr;

    if (!sock_addr_parse(address, 0, &addr))
        return false;
    if (addr.u.any.sa_family == AF_INET) {
        uint32_t ip = ntohl(addr.u.in.sin_addr.s_addr);

        for (unsigned shift = 0; shift < 32; shift += 8)
            buf_add_format(to, "%u.", ip >> shift & 255);
    } else {
        const uint8_t *octets = addr.u.in6.sin6_addr.s6_addr;

        for (unsigned i = 16; i-- > 0;) {
            const char nibbles[] = { hex[octets[i] & 15], '.',
                hex[octets[i] >> 4], '.' };

            buf_add(to, (struct slice){ nibbles, sizeof(nibbles) });
        }
    }
    buf_add(to, domain);
    return !buf_failed(to);
}
