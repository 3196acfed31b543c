#include "smtp/nexthop.h"

#include "lib/io/offload.h"

bool
nexthop_next(struct slice *rest, struct slice *text)
{
    return slice_word(rest, ", \t\r\n", text);
}

struct port_question {
    struct slice name;
    uint16_t port;
    bool found;
};

static void
ask_services(void *arg)
{
    struct port_question *q = arg;

    q->found = sock_port_parse(q->name, &q->port);
}

bool
nexthop_port(struct slice text, uint16_t *port)
{
    static const struct {
        const char *name;
        uint16_t port;
    } known[] = {
        { "smtp", 25 },
        { "lmtp", 24 },
        { "submission", 587 },
        { "submissions", 465 },
        { "smtps", 465 },
    };
    struct port_question q = { .name = text };
    bool number = text.len > 0;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (slice_eq_text(text, known[i].name)) {
            *port = known[i].port;
            return true;
        }
    }
    for (size_t i = 0; i < text.len; i++)
        number = number && text.ptr[i] >= '0' && text.ptr[i] <= '9';
    if (number)
        ask_services(&q);
    else
        offload(ask_services, &q);
    if (!q.found || q.port == 0)
        return false;
    *port = q.port;
    return true;
}

static enum result
bad(struct why *why, struct slice text, const char *what)
{
    return why_temp(why, "4.3.5", "%s in server description: " SLICE_FMT, what,
        SLICE_ARG(slice_head(text, NEXTHOP_HOST_MAX)));
}

/*
 * "host", "host:port", "[host]", "[host]:port". A host without brackets holds
 * no colon, so an IPv6 address needs them.
 */
static enum result
split_host_port(struct slice in, struct slice *host, struct slice *port,
    struct why *why)
{
    struct slice rest;
    size_t n;

    if (in.len > 0 && in.ptr[0] == '[') {
        n = slice_find(in, ']');
        if (n == in.len)
            return bad(why, in, "missing \"]\"");
        *host = slice_skip(slice_head(in, n), 1);
        rest = slice_skip(in, n + 1);
        if (rest.len > 0 && rest.ptr[0] != ':')
            return bad(why, in, "garbage after \"]\"");
    } else {
        n = slice_find(in, ':');
        *host = slice_head(in, n);
        rest = slice_skip(in, n);
    }
    *port = slice_skip(rest, 1);
    if (rest.len > 0 && port->len == 0)
        return bad(why, in, "missing service name");
    if (host->len == 0)
        return bad(why, in, "missing host name");
    if (host->len > NEXTHOP_HOST_MAX)
        return bad(why, in, "host name too long");
    return RESULT_OK;
}

static enum result
parse_inet(struct slice in, uint16_t default_port, struct nexthop *hop,
    struct why *why)
{
    struct slice port;
    enum result res = split_host_port(in, &hop->host, &port, why);

    if (res != RESULT_OK)
        return res;
    hop->port = default_port;
    if (port.len > 0 && !nexthop_port(port, &hop->port))
        return bad(why, in, "unknown service");
    if (in.ptr[0] == '[')
        hop->kind = NEXTHOP_HOST;
    /* A bare address has no mail exchangers, so it can only be meant itself. */
    if (sock_addr_parse(hop->host, hop->port, &hop->addr))
        hop->kind = NEXTHOP_HOST;
    return RESULT_OK;
}

enum result
nexthop_parse(struct slice text, enum nexthop_protocol protocol,
    uint16_t default_port, struct nexthop *hop, struct why *why)
{
    struct nexthop h = { .text = text };
    enum result res;

    h.kind = protocol == NEXTHOP_LMTP ? NEXTHOP_HOST : NEXTHOP_DOMAIN;
    if (protocol == NEXTHOP_LMTP && slice_starts(text, SLICE_LIT("unix:"))) {
        h.kind = NEXTHOP_UNIX;
        h.host = slice_skip(text, 5);
        if (h.host.len == 0)
            return bad(why, text, "missing path name");
        if (h.host.len >= sizeof(((struct sockaddr_un *)0)->sun_path))
            return bad(why, text, "path name too long");
        *hop = h;
        return RESULT_OK;
    }
    if (protocol == NEXTHOP_LMTP && slice_starts(text, SLICE_LIT("inet:")))
        text = slice_skip(text, 5);
    res = parse_inet(text, default_port, &h, why);
    if (res == RESULT_OK)
        *hop = h;
    return res;
}
