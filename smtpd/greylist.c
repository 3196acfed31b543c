/*
 * greylist - check_greylist: who is not known yet is to come again (RFC 6647).
 *
 * A triplet of network, sender and recipient is put off until
 * smtpd_greylist_delay has gone by, and has until smtpd_greylist_retry_window to
 * come again. Then it has passed for smtpd_greylist_lifetime, counted anew while
 * it is used; so has its sender from that network, for all recipients; and a
 * network that passed smtpd_greylist_auto_allow_limit triplets has for all
 * senders. All processes remember together (lib/table/memo.h):
 *
 *     t NETWORK sender recipient    "w SECONDS" put off since
 *                                   "p SECONDS" passed; last counted anew
 *     s NETWORK sender              "p SECONDS"
 *     n NETWORK                     "COUNT SECONDS"
 */
#include "lib/base/clock.h"
#include "lib/base/num.h"
#include "lib/table/memo.h"
#include "lib/table/net.h"
#include "smtpd/checks.h"
#include "smtpd/session.h"

#include <ctype.h>
#include <stdio.h>

enum {
    WAIT_MS = 2000,    /* nobody waits longer for what is known */
    ADDRESS_MAX = 320, /* octets of one that count: RFC 5321 section 4.5.3.1 */
    RENEW_PART = 10, /* a record is renewed when so much of its life is over */
    COUNT_MAX = 1000000000,
};

struct greylist {
    const struct config *config;
    char network[NET_TEXT_MAX];
    struct slice sender, recipient;
    int64_t now_s;
};

static bool
find_network(const struct session *s, char text[NET_TEXT_MAX])
{
    struct net net;

    if (!net_address_parse(slice_of(s->peer.addr), &net.base))
        return false;
    net.bits = (unsigned)(net.base.size == 4
            ? s->config->smtpd_greylist_ipv4_prefix_length
            : s->config->smtpd_greylist_ipv6_prefix_length);
    (void)net_text(&net, text);
    return true;
}

/* Upper or lower case is the same to everybody. */
static void
add_address(struct buf *key, struct slice address)
{
    address = slice_head(address, ADDRESS_MAX);
    buf_add_octet(key, '\n');
    for (size_t i = 0; i < address.len; i++)
        buf_add_octet(key,
            (unsigned char)tolower((unsigned char)address.ptr[i]));
}

static void
make_key(const struct greylist *g, char kind, struct buf *key)
{
    buf_clear(key);
    buf_add_format(key, "%c%s", kind, g->network);
    if (kind != 'n')
        add_address(key, g->sender);
    if (kind == 't')
        add_address(key, g->recipient);
}

struct record {
    enum memo_status status;
    struct slice word; /* "w", "p" or a count */
    uint32_t count;
    int64_t time_s;
};

/* Nonsense is as good as nothing. value holds what the record borrows. */
static struct record
find_record(struct slice key, struct buf *value)
{
    struct record r = { .status = memo_find(MEMO_GREYLIST, key,
                            clock_now_ms() + WAIT_MS, value) };
    struct slice rest, number;
    uint64_t time;

    if (r.status != MEMO_FOUND)
        return r;
    rest = buf_slice(value);
    if (!slice_word(&rest, " ", &r.word) || !slice_word(&rest, " ", &number) ||
        !num_parse_u64(number, INT64_MAX / 1000, &time)) {
        r.status = MEMO_NOT_FOUND;
        return r;
    }
    r.time_s = (int64_t)time;
    if (!num_parse_u32(r.word, COUNT_MAX, &r.count))
        r.count = 0;
    return r;
}

static void
keep(const struct greylist *g, struct slice key, const char *word,
    int64_t time_s, int64_t life_ms)
{
    char value[64];

    (void)snprintf(value, sizeof(value), "%s %jd", word, (intmax_t)time_s);
    memo_keep(MEMO_GREYLIST, key, slice_of(value), g->now_s + life_ms / 1000);
}

static void
keep_passed(const struct greylist *g, struct slice key, const char *word)
{
    keep(g, key, word, g->now_s, g->config->smtpd_greylist_lifetime);
}

/* What is used lives on. Not each time: a busy sender would write much. */
static void
renew(const struct greylist *g, struct slice key, const struct record *r)
{
    char word[16];

    if (g->now_s - r->time_s <
        g->config->smtpd_greylist_lifetime / 1000 / RENEW_PART)
        return;
    (void)snprintf(word, sizeof(word), SLICE_FMT, SLICE_ARG(r->word));
    keep_passed(g, key, word);
}

/* The networks that are always let through, and those on the way to it. */
static bool
is_network_known(const struct greylist *g, struct buf *key, struct buf *value)
{
    int64_t limit = g->config->smtpd_greylist_auto_allow_limit;
    struct record r;

    if (limit == 0)
        return false;
    make_key(g, 'n', key);
    r = find_record(buf_slice(key), value);
    if (r.status != MEMO_FOUND || r.count < limit)
        return false;
    renew(g, buf_slice(key), &r);
    return true;
}

static bool
is_sender_known(const struct greylist *g, struct buf *key, struct buf *value)
{
    struct record r;

    if (g->sender.len == 0) /* notices of everybody's */
        return false;
    make_key(g, 's', key);
    r = find_record(buf_slice(key), value);
    if (r.status != MEMO_FOUND)
        return false;
    renew(g, buf_slice(key), &r);
    return true;
}

/* It came again in time: so will the next ones. */
static void
learn(const struct greylist *g, struct buf *key, struct buf *value)
{
    char count[16];
    struct record r;

    keep_passed(g, buf_slice(key), "p");
    if (g->sender.len > 0) {
        make_key(g, 's', key);
        keep_passed(g, buf_slice(key), "p");
    }
    make_key(g, 'n', key);
    r = find_record(buf_slice(key), value);
    (void)snprintf(count, sizeof(count), "%u",
        r.status == MEMO_FOUND && r.count < COUNT_MAX ? r.count + 1 : 1);
    keep_passed(g, buf_slice(key), count);
}

static bool
is_triplet_known(const struct greylist *g, struct buf *key, struct buf *value)
{
    struct record r;

    make_key(g, 't', key);
    r = find_record(buf_slice(key), value);
    switch (r.status) {
    case MEMO_ERROR:
        return true; /* nobody is put off by what is our trouble */
    case MEMO_NOT_FOUND:
        keep(g, buf_slice(key), "w", g->now_s,
            g->config->smtpd_greylist_retry_window);
        return false;
    case MEMO_FOUND:
        break;
    }
    if (slice_eq_text(r.word, "p")) {
        renew(g, buf_slice(key), &r);
        return true;
    }
    if (g->now_s - r.time_s < g->config->smtpd_greylist_delay / 1000)
        return false;
    learn(g, key, value);
    return true;
}

static bool
is_known(const struct greylist *g)
{
    struct buf key, value;
    bool known;

    buf_init(&key, MEMO_KEY_MAX);
    buf_init(&value, MEMO_VALUE_MAX);
    known = is_network_known(g, &key, &value) ||
        is_sender_known(g, &key, &value) || is_triplet_known(g, &key, &value);
    buf_fini(&key);
    buf_fini(&value);
    return known;
}

CHECK_FN(check_greylist)
{
    const struct session *s = e->s;
    const struct subject recipient = { SUBJECT_RECIPIENT, s->recipient };
    struct greylist g = {
        .config = s->config,
        .sender = s->mail.envelope.sender,
        .recipient = s->recipient_rewritten,
        .now_s = clock_wall_s(),
    };

    (void)c;
    if (s->recipient.len == 0 || s->login.user != NULL ||
        !find_network(s, g.network) || is_known(&g))
        return VERDICT_NONE;
    return evaluation_refuse_subject(e, &recipient, 450, "4.2.0",
        s->config->smtpd_greylist_text);
}
