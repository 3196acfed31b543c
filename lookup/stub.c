#include "lookup/stub.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "lib/io/fiber.h"
#include "lib/io/stream.h"
#include "lookup/wire.h"

#include <errno.h>
#include <unistd.h>

enum {
    PACKET_MAX = 65535,
    UDP_BUFFER = 4096,
    ALIASES_MAX = 10, /* CNAMEs that are asked for one after the other */
    STRAYS_MAX = 50,  /* datagrams that answer something else */
    RCODE_FORMERR = 1,
    RCODE_NOTIMP = 4,
};

/* One question to one server. */
struct question {
    const struct sock_addr *server;
    struct slice name;
    enum dns_type type;
    unsigned flags; /* enum wire_flag */
    int64_t deadline;
    unsigned char query[WIRE_QUERY_MAX];
    size_t query_len;
    struct buf packet; /* the answer */
    bool doubtful;     /* somebody guesses, or floods us */
};

static struct slice
query_slice(const struct question *q)
{
    return (struct slice){ (const char *)q->query, q->query_len };
}

/*
 * Wait for the datagram that answers; others are dropped. Where there are many
 * of them somebody tries to be faster than the server with what he guesses, and
 * not all who ask shall wait for him to end.
 */
static bool
receive_udp(struct question *q, struct io_wait *w)
{
    unsigned strays = 0;

    while (strays <= STRAYS_MAX) {
        char *to;
        ssize_t n;

        buf_clear(&q->packet);
        to = buf_reserve(&q->packet, UDP_BUFFER);
        if (to == NULL)
            return false;
        n = recv(w->fd, to, UDP_BUFFER, 0);
        if (n >= 0) {
            buf_advance(&q->packet, (size_t)n);
            if (wire_answers(buf_slice(&q->packet), query_slice(q)))
                return true;
            strays++;
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            return false;
        if (io_wait_readable(w, q->deadline) != WAIT_OK)
            return false;
    }
    q->doubtful = true;
    return false;
}

static bool
exchange_udp(struct question *q)
{
    struct io_wait w;
    bool answered = false;
    int fd = socket(q->server->u.any.sa_family,
        SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return false;
    if (connect(fd, &q->server->u.any, q->server->len) == 0 &&
        io_wait_init(&w, fd) == 0) {
        if (send(fd, q->query, q->query_len, MSG_NOSIGNAL) ==
            (ssize_t)q->query_len)
            answered = receive_udp(q, &w);
        io_wait_fini(&w);
    }
    close(fd);
    return answered;
}

static bool
receive_tcp(struct question *q, struct stream *st)
{
    struct slice octets;
    size_t want;

    if (stream_peek_at_least(st, 2, q->deadline, &octets) != STREAM_OK)
        return false;
    want = (size_t)(unsigned char)octets.ptr[0] << 8 |
        (unsigned char)octets.ptr[1];
    stream_consume(st, 2);
    buf_clear(&q->packet);
    while (q->packet.len < want) {
        if (stream_peek(st, q->deadline, &octets) != STREAM_OK)
            return false;
        octets = slice_head(octets, want - q->packet.len);
        buf_add(&q->packet, octets);
        if (buf_failed(&q->packet))
            return false;
        stream_consume(st, octets.len);
    }
    return wire_answers(buf_slice(&q->packet), query_slice(q));
}

/* RFC 1035 section 4.2.2 */
static bool
exchange_tcp(struct question *q)
{
    unsigned char length[2] = { (unsigned char)(q->query_len >> 8),
        (unsigned char)q->query_len };
    struct stream *st;
    struct why why;
    bool answered;
    int fd;

    if (sock_connect(q->server, NULL, q->deadline, &fd, &why) != RESULT_OK)
        return false;
    st = stream_new(fd);
    if (st == NULL) {
        close(fd);
        return false;
    }
    stream_write(st, (struct slice){ (const char *)length, 2 }, q->deadline);
    stream_write(st, query_slice(q), q->deadline);
    answered = stream_flush(st, q->deadline) == STREAM_OK && receive_tcp(q, st);
    stream_free(st);
    return answered;
}

/* Ask one server once. False: no answer. */
static bool
exchange(const struct resolv_conf *conf, struct question *q,
    struct arena *arena, struct dns_answer *answer, struct wire_info *info,
    enum dns_status *status)
{
    bool tcp = conf->tcp || q->doubtful;

    for (;;) {
        bool answered = tcp ? exchange_tcp(q) : exchange_udp(q);

        if (!answered && !tcp && q->doubtful) {
            tcp = true;
            continue;
        }
        if (!answered)
            return false;
        *status = wire_answer(buf_slice(&q->packet), q->name, q->type, arena,
            answer, info);
        if (!info->truncated || tcp)
            return true;
        tcp = true;
    }
}

/* A server that knows no EDNS says so: once more without. */
static bool
exchange_plain_too(const struct resolv_conf *conf, struct question *q,
    struct arena *arena, struct dns_answer *answer, struct wire_info *info,
    enum dns_status *status)
{
    q->flags = WIRE_EDNS | WIRE_DNSSEC;
    for (;;) {
        q->query_len = wire_query((uint16_t)random_u64(), q->name, q->type,
            q->flags, q->query);
        if (q->query_len == 0) {
            *status = DNS_INVALID;
            return true;
        }
        if (!exchange(conf, q, arena, answer, info, status))
            return false;
        if (q->flags == 0 ||
            (info->rcode != RCODE_FORMERR && info->rcode != RCODE_NOTIMP))
            return true;
        q->flags = 0;
    }
}

/* All servers in turn, some rounds. */
static enum dns_status
ask_servers(const struct resolv_conf *conf, struct question *q,
    struct arena *arena, int64_t deadline, struct dns_answer *answer,
    struct wire_info *info)
{
    enum dns_status status = DNS_TRYAGAIN;

    for (unsigned round = 0; round < conf->attempts; round++) {
        for (size_t i = 0; i < conf->count; i++) {
            int64_t now = clock_now_ms();

            if (now >= deadline || fiber_cancelled())
                return DNS_TRYAGAIN;
            q->server = &conf->servers[i];
            q->deadline = now + conf->timeout_ms;
            if (q->deadline > deadline)
                q->deadline = deadline;
            if (exchange_plain_too(conf, q, arena, answer, info, &status) &&
                status != DNS_TRYAGAIN)
                return status;
            status = DNS_TRYAGAIN;
        }
    }
    return status;
}

enum dns_status
stub_ask(const struct resolv_conf *conf, struct slice name, enum dns_type type,
    struct arena *arena, int64_t deadline, struct dns_answer *answer,
    uint32_t *ttl)
{
    struct question *q = mem_alloc(sizeof(*q));
    struct slice canonical = { 0 };
    struct wire_info info = { 0 };
    enum dns_status status = DNS_TRYAGAIN;
    bool secure = true;

    *ttl = UINT32_MAX;
    *answer = (struct dns_answer){ 0 };
    q->name = name;
    q->type = type;
    buf_init(&q->packet, PACKET_MAX);
    for (unsigned aliases = 0; aliases <= ALIASES_MAX; aliases++) {
        status = ask_servers(conf, q, arena, deadline, answer, &info);
        secure = secure && info.authentic;
        if (info.ttl < *ttl)
            *ttl = info.ttl;
        if (answer->canonical.len > 0)
            canonical = answer->canonical;
        if (status != DNS_NODATA || info.alias.len == 0)
            break;
        q->name = info.alias;
        info = (struct wire_info){ 0 };
        if (aliases == ALIASES_MAX)
            status = DNS_TRYAGAIN; /* a loop, or as good as one */
    }
    buf_fini(&q->packet);
    mem_free(q);
    answer->status = status;
    answer->canonical = canonical;
    answer->secure = secure && status != DNS_TRYAGAIN;
    if (status == DNS_TRYAGAIN || status == DNS_INVALID)
        *ttl = 0;
    return status;
}
