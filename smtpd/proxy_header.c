#include "smtpd/proxy_header.h"

#include "lib/base/num.h"

#include <arpa/inet.h>

static const struct slice signature = { "\r\n\r\n\0\r\nQUIT\n", 12 };

/* Version 1: "PROXY TCP4 client server port port" CRLF */

static bool
take_address(struct slice *rest, sa_family_t family, struct sock_addr *addr)
{
    struct slice word;

    /* sock_addr_parse() takes "IPv6:" in front, which has no place here. */
    return slice_word(rest, " ", &word) &&
        !slice_starts_nocase(word, SLICE_LIT("IPv6:")) &&
        sock_addr_parse(word, 0, addr) && addr->u.any.sa_family == family;
}

static bool
take_port(struct slice *rest, struct sock_addr *addr)
{
    struct slice word;
    uint32_t port;

    if (!slice_word(rest, " ", &word) ||
        !num_parse_u32(word, UINT16_MAX, &port))
        return false;
    sock_addr_set_port(addr, (uint16_t)port);
    return true;
}

static enum proxy_status
parse_text(struct slice line, struct proxy_header *h, const char **wrong)
{
    struct slice word;
    sa_family_t family;

    (void)slice_word(&line, " ", &word);
    if (!slice_word(&line, " ", &word))
        word.len = 0;
    if (slice_eq_text(word, "UNKNOWN"))
        return PROXY_LOCAL;
    if (!slice_eq_text(word, "TCP4") && !slice_eq_text(word, "TCP6")) {
        *wrong = "bad or missing protocol type";
        return PROXY_BAD;
    }
    family = slice_eq_text(word, "TCP4") ? AF_INET : AF_INET6;
    *wrong = "bad or missing client address";
    if (!take_address(&line, family, &h->client))
        return PROXY_BAD;
    *wrong = "bad or missing server address";
    if (!take_address(&line, family, &h->server))
        return PROXY_BAD;
    *wrong = "bad or missing client port";
    if (!take_port(&line, &h->client))
        return PROXY_BAD;
    *wrong = "bad or missing server port";
    if (!take_port(&line, &h->server))
        return PROXY_BAD;
    *wrong = "something behind the ports";
    return line.len == 0 ? PROXY_FOUND : PROXY_BAD;
}

static enum proxy_status
parse_v1(struct slice in, struct proxy_header *h, const char **wrong)
{
    const struct slice start = SLICE_LIT("PROXY ");
    struct slice line = slice_head(in, PROXY_HEADER_V1_MAX);
    size_t lf = slice_find(line, '\n');

    *wrong = "short protocol header";
    if (!slice_starts(slice_head(in, start.len), slice_head(start, in.len)))
        return PROXY_BAD;
    if (lf == line.len)
        return in.len < PROXY_HEADER_V1_MAX ? PROXY_MORE : PROXY_BAD;
    if (lf == 0 || line.ptr[lf - 1] != '\r' || lf < start.len)
        return PROXY_BAD;
    h->length = lf + 1;
    return parse_text(slice_head(line, lf - 1), h, wrong);
}

/*
 * Version 2: signature, version and command, family and transport, length of
 * the rest in network order, addresses and ports.
 */

static void
set_inet(struct sock_addr *addr, const char *octets, const char *port)
{
    *addr = (struct sock_addr){ .len = sizeof(addr->u.in) };
    addr->u.in.sin_family = AF_INET;
    memcpy(&addr->u.in.sin_addr, octets, 4);
    memcpy(&addr->u.in.sin_port, port, 2);
}

static void
set_inet6(struct sock_addr *addr, const char *octets, const char *port)
{
    *addr = (struct sock_addr){ .len = sizeof(addr->u.in6) };
    addr->u.in6.sin6_family = AF_INET6;
    memcpy(&addr->u.in6.sin6_addr, octets, 16);
    memcpy(&addr->u.in6.sin6_port, port, 2);
}

static enum proxy_status
parse_addresses(unsigned family, struct slice body, struct proxy_header *h,
    const char **wrong)
{
    enum { TCP4 = 0x11, TCP6 = 0x21 };
    const char *p = body.ptr;

    if (family == TCP4 && body.len >= 12) {
        set_inet(&h->client, p, p + 8);
        set_inet(&h->server, p + 4, p + 10);
        return PROXY_FOUND;
    }
    if (family == TCP6 && body.len >= 36) {
        set_inet6(&h->client, p, p + 32);
        set_inet6(&h->server, p + 16, p + 34);
        return PROXY_FOUND;
    }
    *wrong = family == TCP4 || family == TCP6 ? "short address field"
                                              : "unsupported network protocol";
    return PROXY_BAD;
}

static enum proxy_status
parse_v2(struct slice in, struct proxy_header *h, const char **wrong)
{
    enum { FIXED = 16, VERSION_LOCAL = 0x20, VERSION_PROXY = 0x21 };
    unsigned command;
    size_t length;

    if (in.len < FIXED)
        return PROXY_MORE;
    command = (unsigned char)in.ptr[12];
    length = FIXED +
        ((size_t)(unsigned char)in.ptr[14] << 8 | (unsigned char)in.ptr[15]);
    *wrong = "bad version or command";
    if (command != VERSION_LOCAL && command != VERSION_PROXY)
        return PROXY_BAD;
    *wrong = "too long protocol header";
    if (length > PROXY_HEADER_V2_MAX)
        return PROXY_BAD;
    if (in.len < length)
        return PROXY_MORE;
    h->length = length;
    if (command == VERSION_LOCAL)
        return PROXY_LOCAL;
    return parse_addresses((unsigned char)in.ptr[13],
        slice_skip(slice_head(in, length), FIXED), h, wrong);
}

enum proxy_status
proxy_header_parse(struct slice in, struct proxy_header *h, const char **wrong)
{
    *h = (struct proxy_header){ .length = 0 };
    *wrong = "";
    if (in.len == 0)
        return PROXY_MORE;
    if (in.ptr[0] != signature.ptr[0])
        return parse_v1(in, h, wrong);
    if (!slice_starts(slice_head(in, signature.len),
            slice_head(signature, in.len))) {
        *wrong = "bad signature";
        return PROXY_BAD;
    }
    return in.len < signature.len ? PROXY_MORE : parse_v2(in, h, wrong);
}
