/*
 * liar - a daemon that was taken over and keeps the protocol's form: it answers
 * what it is asked, with wrong tokens, others' recipients, twice, never, with
 * texts that break out of their place; and hands in messages that settle what
 * it was never given, under ids and in files of others.
 *
 * What it does is chosen by chance. It never delivers anything.
 */
#include "lib/base/clock.h"
#include "lib/base/random.h"
#include "lib/base/tlv.h"
#include "lib/dns/dns_codec.h"
#include "lib/mail/delivery.h"
#include "lib/mail/late.h"
#include "lib/mail/notice.h"
#include "lib/mail/route.h"
#include "lib/mail/submission.h"
#include "tests/actor/taken_over.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    ARENA_MAX = 64 << 20,
    RESULTS_MAX = 100,
    LONG = 4000,
    LOOK_MS = 20,
    IDS_BACK = 200, /* of others: those leased before ours */
};

static struct taken_over liar;
static struct attempt seen[64]; /* tokens of attempts, to be used once more */
static unsigned seen_count;

enum { GIVEN_MAX = 64, GIVEN_RCPTS = 8 };

/* Deliveries that it was given, for lies about them to the next qmgr. */
static struct given {
    struct attempt attempt;
    uint64_t proof;
    uint32_t indexes[GIVEN_RCPTS];
    size_t count;
} given[GIVEN_MAX];
static unsigned given_count;
static uint64_t leased;
static char long_text[LONG + 1];
static enum role self;

static const char *const texts[] = { "", "x", "a\r\nX-Evil: 1", "a\0b",
    "\033[2J", "2.0.0", "[127.0.0.1]:1", "a@b> NOTIFY=<", "unix:/x", "..",
    "%s%n%s%n", long_text };

static struct slice
any_text(void)
{
    return slice_of(texts[random_below(sizeof(texts) / sizeof(texts[0]))]);
}

static void
send_it(int link, struct msg *m, uint32_t number)
{
    struct why why;

    if (wire_send(link, m, number, clock_now_ms() + TAKEN_WAIT_MS, &why) !=
        RESULT_OK)
        return; /* it hung up: seen where it is read */
}

/* Answers of delivery agents. */

static void
any_result(struct rcpt_result *r, uint32_t index)
{
    *r = (struct rcpt_result){
        .index = index,
        .outcome = (enum outcome)(1 + random_below(OUTCOME_RETURNED)),
        .text = any_text(),
        .relay = any_text(),
        .remote = any_text(),
        .diagnostic = any_text(),
        .diagnostic_type = SLICE_LIT("smtp\r\nX: y"),
        .final_address = any_text(),
        .when_us = (int64_t)(random_u64() >> (1 + random_below(63))),
    };
    memcpy(r->status, random_below(2) == 0 ? "5\r\nX: y" : "2.0.0", 6);
}

static uint32_t
any_index(const struct delivery *d, size_t i)
{
    switch (random_below(4)) {
    case 0:
        return d->recipients[0].index;
    case 1:
        return (uint32_t)random_u64() >> random_below(32);
    default:
        return d->recipients[i % d->recipient_count].index;
    }
}

static void
twist(struct attempt *a)
{
    switch (random_below(6)) {
    case 0:
        a->nonce++;
        break;
    case 1:
        a->id++;
        break;
    case 2:
        a->number++;
        break;
    default:
        break;
    }
}

__attribute__((noinline)) static void
settle(int qmgr, const struct attempt *token, uint32_t index)
{
    uint32_t indexes[4] = { index, index, index + 1, UINT32_MAX };
    struct buf one;
    struct msg m;

    msg_init(&m, MESSAGE_SUBMIT);
    buf_init(&one, 4096);
    attempt_encode(token, ATTR_TOKEN, &one);
    for (uint64_t n = random_below(5); n > 0; n--)
        tlv_put_u64(&one, ATTR_RCPT_INDEX, indexes[n - 1]);
    tlv_put(&m.body, ATTR_SETTLE, buf_slice(&one));
    tlv_put_u64(&m.body, ATTR_PRIVATE, 1); /* that alone */
    buf_fini(&one);
    send_it(qmgr, &m, 1 + (uint32_t)random_below(1000000));
}

static void
remember(const struct delivery *d)
{
    struct given *g = &given[given_count++ % GIVEN_MAX];

    *g = (struct given){ .attempt = d->attempt, .proof = d->proof };
    for (; g->count < GIVEN_RCPTS && g->count < d->recipient_count; g->count++)
        g->indexes[g->count] = d->recipients[g->count].index;
}

/* Results from before a qmgr's start: true in part, twisted or of nobody. */
__attribute__((noinline)) static void
tell_late(int qmgr)
{
    static struct rcpt_result results[GIVEN_RCPTS];
    struct given g = { .attempt = { .id = 1 + random_u64() }, .count = 1 };
    struct late l = { .results = results };
    struct msg m;

    if (given_count > 0)
        g = given[random_below(
            given_count < GIVEN_MAX ? given_count : GIVEN_MAX)];
    l.attempt = g.attempt;
    l.proof = g.proof;
    twist(&l.attempt);
    if (random_below(4) == 0)
        l.proof = random_u64();
    if (random_below(4) == 0)
        g.indexes[random_below(g.count)] = (uint32_t)random_below(5);
    l.indexes = g.indexes;
    l.index_count = g.count;
    for (size_t i = 0; i < g.count; i++)
        any_result(&results[l.count++], g.indexes[i]);
    if (random_below(100) == 0) {
        msg_init(&m, MESSAGE_LATE);
        put_random_attributes(&m.body, 0);
    } else {
        late_encode(&l, &m);
    }
    send_it(qmgr, &m, 0);
    if (random_below(200) == 0) {
        msg_init(&m, MESSAGE_LATE_DONE);
        send_it(qmgr, &m, 0);
    }
}

__attribute__((noinline)) static void
answer_delivery(int link, struct msg_in *in, bool may_settle)
{
    static struct rcpt_result results[RESULTS_MAX];
    struct delivery_answer a = { .results = results };
    struct delivery d;
    struct arena arena;
    struct why why;
    struct msg m;

    arena_init(&arena, ARENA_MAX);
    if (delivery_decode(in, &arena, &d, &why) != RESULT_OK)
        _exit(EX_SOFTWARE);
    if (d.fd >= 0)
        close(d.fd);
    seen[seen_count++ % 64] = d.attempt;
    remember(&d);
    a.attempt = d.attempt;
    twist(&a.attempt);
    a.count = random_below(RESULTS_MAX);
    for (size_t i = 0; i < a.count; i++)
        any_result(&results[i], any_index(&d, i));
    a.destination = (enum destination_state)random_below(3);
    memcpy(a.destination_status, "4\n2", 4);
    a.destination_text = any_text();
    a.idle_sessions = (uint32_t)random_u64();
    if (may_settle && random_below(2) == 0)
        settle(link, &a.attempt, any_index(&d, 0));
    delivery_answer_encode(&a, &m);
    send_it(link, &m, in->number);
    if (may_settle && random_below(2) == 0)
        settle(link, &d.attempt, any_index(&d, 0)); /* too late */
    arena_clear(&arena);
}

__attribute__((noinline)) static void
answer_notice(int link, struct msg_in *in)
{
    struct queue_answer a = { .result = (enum result)random_below(3) };
    struct notice n;
    struct arena arena;
    struct why why;
    struct msg m;

    arena_init(&arena, ARENA_MAX);
    if (notice_decode(in, &arena, &n, &why) != RESULT_OK)
        _exit(EX_SOFTWARE);
    if (n.fd >= 0)
        close(n.fd);
    seen[seen_count++ % 64] = n.attempt;
    twist(&n.attempt);
    if (random_below(2) == 0)
        settle(link, &n.attempt, n.recipients[0].index);
    queue_answer_encode(MESSAGE_NOTIFIED, &a, &m);
    send_it(link, &m, in->number);
    arena_clear(&arena);
}

/* Answers of lookup. */

static void
set(char *to, size_t size)
{
    struct slice text = slice_head(any_text(), size - 1);

    if (text.len > 0)
        memcpy(to, text.ptr, text.len);
    to[text.len] = '\0';
}

static void
answer_route(int link, const struct msg_in *in)
{
    static const char *const transports[] = { "smtp", "virtual", "local",
        "error", "retry", "discard", "nonesuch", "", "a\r\nb" };
    struct route route = { .class = (enum address_class)random_below(5) };
    struct why why;
    struct msg m;

    (void)why_perm(&why, "9\r\n9", "no\r\nX: y");
    (void)snprintf(route.transport, sizeof(route.transport), "%s",
        transports[random_below(sizeof(transports) / sizeof(transports[0]))]);
    set(route.nexthop, sizeof(route.nexthop));
    set(route.address, sizeof(route.address));
    route_encode(random_below(4) == 0 ? RESULT_PERMFAIL : RESULT_OK, &route,
        &why, &m);
    send_it(link, &m, in->number);
}

static void
answer_dns(int link, const struct msg_in *in)
{
    struct dns_record records[3] = {
        { .type = DNS_MX, .name = any_text(), .preference = 65535 },
        { .type = DNS_A, .ttl = UINT32_MAX },
        { .type = DNS_TXT, .name = any_text() },
    };
    struct dns_answer answer = { .status = (enum dns_status)random_below(5),
        .canonical = any_text(),
        .records = records,
        .count = random_below(4) };
    struct why why;
    struct msg m;

    (void)why_perm(&why, "9\r\n9", "no\r\nX: y");
    msg_init(&m, message_rule(in->type)->answer);
    dns_answer_encode(&answer, &why, &m);
    send_it(link, &m, in->number);
}

static void
answer_client(int link, const struct msg_in *in)
{
    struct client_name name = { .status = CLIENT_NAME_OK,
        .reverse_status = CLIENT_NAME_OK };
    struct msg m;

    set(name.name, sizeof(name.name));
    set(name.reverse_name, sizeof(name.reverse_name));
    msg_init(&m, MESSAGE_CLIENT_ANSWER);
    dns_client_answer_encode(&name, &m);
    send_it(link, &m, in->number);
}

/* Whatever it is asked. */

static void
answer_by_chance(int link, const struct msg_in *in)
{
    struct msg m;

    msg_init(&m, message_rule(in->type)->answer);
    if (random_below(2) == 0)
        put_random_attributes(&m.body, 0);
    send_it(link, &m, in->number);
}

static void
answer(int link, struct msg_in *in)
{
    if (message_rule(in->type)->answer == MESSAGE_NONE || random_below(10) == 0)
        return; /* never */
    if (random_below(10) == 0)
        answer_by_chance(link, in); /* NOLINT(bugprone-branch-clone) */
    else if (in->type == MESSAGE_DELIVER)
        answer_delivery(link, in, self == ROLE_LOCAL);
    else if (in->type == MESSAGE_NOTIFY)
        answer_notice(link, in);
    else if (in->type == MESSAGE_RESOLVE)
        answer_route(link, in);
    else if (in->type == MESSAGE_CLIENT_ASK)
        answer_client(link, in);
    else if (in->type == MESSAGE_DNS_ASK || in->type == MESSAGE_HOST_ASK)
        answer_dns(link, in);
    else
        answer_by_chance(link, in);
}

/* Unasked: messages of a submitter. */

static uint64_t
any_id(void)
{
    switch (random_below(4)) {
    case 0:
        return leased - random_below(IDS_BACK);
    case 1:
        return random_u64();
    default:
        return leased + random_below(64);
    }
}

static void
put_envelope(struct buf *to)
{
    struct envelope env = {
        .id = any_id(),
        .arrival_us = (int64_t)(random_u64() >> (1 + random_below(63))),
        .size = random_u64() >> 1,
        .flags = (uint32_t)random_u64(),
        .hops = (uint32_t)random_u64(),
        .sender = any_text(),
        .sender_name = any_text(),
        .envid = any_text(),
        .filter = any_text(),
        .message_id = any_text(),
        .helo = any_text(),
        .drop_file = any_text(),
    };
    struct arena arena;
    struct buf encoded;
    struct why why;

    arena_init(&arena, 1 << 20);
    for (uint64_t n = random_below(6); n > 0; n--) {
        struct recipient r = { .address = any_text(),
            .original = any_text(),
            .orcpt = any_text(),
            .notify = (uint32_t)random_below(16) };

        if (envelope_add_recipient(&env, &arena, &r, &why) != RESULT_OK)
            break;
    }
    env.flags &= ~(uint32_t)ENVELOPE_VERIFY;
    buf_init(&encoded, 1 << 20);
    envelope_encode(&env, &encoded);
    tlv_put(to, ATTR_ENVELOPE, buf_slice(&encoded));
    buf_fini(&encoded);
    arena_clear(&arena);
}

__attribute__((noinline)) static void
submit(int qmgr, uint32_t number)
{
    struct msg m;

    msg_init(&m, MESSAGE_SUBMIT);
    put_envelope(&m.body);
    if (random_below(4) == 0)
        put_envelope(&m.body);
    if (random_below(4) != 0)
        tlv_put(&m.body, ATTR_HEADER, any_text());
    if (random_below(4) == 0) {
        tlv_put_u64(&m.body, ATTR_BLOB, random_below(20));
        tlv_put_u64(&m.body, ATTR_LENGTH, random_u64() >> random_below(64));
    } else {
        tlv_put(&m.body, ATTR_BODY, any_text());
    }
    send_it(qmgr, &m, number);
    if (seen_count > 0)
        settle(qmgr, &seen[random_below(seen_count < 64 ? seen_count : 64)],
            (uint32_t)random_below(4));
}

static void
ask(int qmgr, enum message type, uint32_t number)
{
    struct msg m;

    msg_init(&m, type);
    tlv_put_u64(&m.body, ATTR_COUNT, random_u64() >> random_below(64));
    tlv_put_u64(&m.body, ATTR_BLOB, random_below(20));
    send_it(qmgr, &m, number);
}

static void
hand_in(int qmgr)
{
    uint32_t number = 1000000 + (uint32_t)random_below(1000000000);

    switch (random_below(5)) {
    case 0:
        ask(qmgr, MESSAGE_LEASE, number);
        break;
    case 1:
        ask(qmgr, MESSAGE_BORROW_BLOB, number);
        break;
    case 2:
        ask(qmgr, MESSAGE_RETURN_BLOB, 0);
        break;
    default:
        submit(qmgr, number);
        break;
    }
}

/* Its first qmgr was there when it came, and is told nothing. */
static bool
is_later_qmgr(unsigned link)
{
    for (unsigned i = 0; i < link; i++)
        if (liar.peers[i] == ROLE_QMGR)
            return liar.peers[link] == ROLE_QMGR;
    return false;
}

static bool
is_agent(void)
{
    return (message_rule(MESSAGE_LATE)->from & ROLE_BIT(self)) != 0;
}

static bool
is_submitter(void)
{
    return (message_rule(MESSAGE_SUBMIT)->from & ROLE_BIT(self)) != 0;
}

static enum role
own_role(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    for (enum role r = ROLE_MASTER; r < ROLE_COUNT; r++)
        if (strcmp(role_name(r), name) == 0)
            return r;
    return ROLE_COUNT;
}

/* One message of a peer. False: the link has ended. */
static bool
hear(int link)
{
    static struct queue_answer a;
    struct msg_in *in;
    struct why why;

    if (wire_recv(link, clock_now_ms() + TAKEN_WAIT_MS, &in, &why) != RESULT_OK)
        return false;
    if (in->type == MESSAGE_LEASED &&
        queue_answer_decode(in->body, &a, &why) == RESULT_OK)
        leased = a.id;
    else if (message_rule(in->type)->kind == KIND_REQUEST)
        answer(link, in);
    msg_in_free(in);
    return true;
}

int
main(int argc, char **argv)
{
    static struct pollfd polls[TAKEN_LINKS_MAX + 1];

    self = own_role(argc > 0 ? argv[0] : "");
    memset(long_text, 'x', LONG);
    taken_over_begin(&liar);
    random_set_seed(taken_over_number(&liar) + 1);
    for (;;) {
        polls[0] = (struct pollfd){ taken_over_master(), POLLIN, 0 };
        for (unsigned i = 0; i < liar.count; i++)
            polls[i + 1] = (struct pollfd){ liar.links[i], POLLIN, 0 };
        (void)poll(polls, liar.count + 1, LOOK_MS);
        for (unsigned i = 0; i < liar.count; i++) {
            if (liar.links[i] < 0)
                continue;
            if (polls[i + 1].revents != 0 && !hear(liar.links[i])) {
                close(liar.links[i]);
                liar.links[i] = -1;
            } else if (is_agent() && is_later_qmgr(i) && random_below(2) == 0) {
                tell_late(liar.links[i]);
            } else if (liar.peers[i] == ROLE_QMGR && is_submitter()) {
                hand_in(liar.links[i]);
            }
        }
        if (polls[0].revents != 0 && !taken_over_obey(&liar))
            return EX_OK;
    }
}
