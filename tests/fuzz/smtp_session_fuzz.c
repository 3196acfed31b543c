/*
 * Whole sessions: what a client sends, from connect to disconnect, to a server
 * with restrictions and a queue behind it. The first octet says into what pieces
 * it is cut, and whether the client is a proxy.
 *
 * Whatever it says: replies are replies, the session ends soon after the client
 * has gone, and what was queued has no line ends but CRLF.
 */
#include "tests/unit/smtpd_world.h"

#include <assert.h>
#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    SENT_MAX = 65536,
    STEPS_MAX = 2000, /* of a second, until a session has ended */
    PROXY_BIT = 0x80, /* of the first octet */
    REPLY_LINE_MAX = 4096,
};

static const char main_cf[] =
    "smtpd_helo_required = yes\n"
    "smtpd_authorized_xclient_hosts = 192.0.2.7\n"
    "smtpd_authorized_xforward_hosts = 192.0.2.7\n"
    "smtpd_upstream_proxy_protocol = haproxy\n"
    "smtpd_upstream_proxy_use = accept\n"
    "smtpd_upstream_proxy_networks = 192.0.2.8\n"
    "smtpd_forbid_unauth_pipelining = no\n"
    "smtpd_client_restrictions = check_client_access inline:{192.0.2.9=REJECT}\n"
    "smtpd_helo_restrictions = reject_invalid_helo_hostname,"
    " reject_non_fqdn_helo_hostname, check_helo_access inline:{bad.test=REJECT}\n"
    "smtpd_sender_restrictions = reject_non_fqdn_sender, check_sender_access"
    " inline:{hold.test=HOLD {p.test=PREPEND X-P: y} {r.test=REDIRECT ann@local.test}"
    " {d.test=DISCARD} {b.test=BCC bob@local.test}}\n"
    "smtpd_relay_restrictions = reject_unauth_destination\n"
    "smtpd_recipient_restrictions = reject_non_fqdn_recipient,"
    " reject_unlisted_recipient\n"
    "smtpd_data_restrictions = reject_multi_recipient_bounce\n";

static void
world_once(void)
{
    static bool open;

    if (!open) {
        world_open(main_cf);
        (void)atexit(world_close);
    }
    open = true;
    buf_clear(&world.log);
    world.log_seen = 0;
}

/* Each line is "250 text" or "250-text", with CRLF, and can be printed. */
static void
assert_replies(struct slice out)
{
    while (out.len > 0) {
        size_t lf = slice_find(out, '\n');
        struct slice line = slice_head(out, lf);

        if (lf == out.len)
            return; /* the client had gone */
        assert(lf <= REPLY_LINE_MAX && lf >= 5 && line.ptr[lf - 1] == '\r');
        assert(line.ptr[0] >= '2' && line.ptr[0] <= '5');
        assert(isdigit((unsigned char)line.ptr[1]));
        assert(isdigit((unsigned char)line.ptr[2]));
        assert(line.ptr[3] == ' ' || line.ptr[3] == '-');
        for (size_t i = 0; i + 1 < lf; i++)
            assert((unsigned char)line.ptr[i] >= ' ' && line.ptr[i] != 127);
        out = slice_skip(out, lf + 1);
    }
}

static void
assert_line_ends(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\n')
            assert(i > 0 && text.ptr[i - 1] == '\r');
        if (text.ptr[i] == '\r')
            assert(i + 1 < text.len && text.ptr[i + 1] == '\n');
    }
}

static void
send_pieces(struct visitor *v, struct slice in, size_t piece)
{
    while (in.len > 0) {
        struct slice part = slice_head(in, piece);
        ssize_t n = send(v->fd, part.ptr, part.len, MSG_NOSIGNAL);

        settle();
        (void)visitor_read(v);
        if (n < 0 && errno != EAGAIN)
            return;
        if (n > 0)
            in = slice_skip(in, (size_t)n);
        else
            advance(1000); /* it sleeps, since we err so much */
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data + 1, size - 1 };
    unsigned submitted, steps = 0;
    struct visitor v;
    size_t fibers;

    if (size < 2 || size > SENT_MAX)
        return 0;
    world_once();
    fibers = sched_count();
    submitted = world.submitted;
    visitor_come(&v, data[0] & PROXY_BIT ? "192.0.2.8" : "192.0.2.7");
    send_pieces(&v, in, data[0] % 32U == 0 ? size : data[0] % 32U * 7);
    (void)shutdown(v.fd, SHUT_WR);
    settle();
    while (sched_count() > fibers && steps++ < STEPS_MAX) {
        (void)visitor_read(&v);
        advance(1000);
    }
    assert(sched_count() == fibers);
    (void)visitor_read(&v);
    assert_replies(buf_slice(&v.in));
    if (world.submitted > submitted) {
        assert_line_ends(buf_slice(&world.header));
        assert_line_ends(buf_slice(&world.body));
    }
    visitor_go(&v);
    return 0;
}
