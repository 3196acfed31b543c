/*
 * screen_score - lists in DNS with weights: all are asked at the same time, and
 * what they say of a client is added up.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/dns/dns.h"
#include "smtpd/screen_private.h"

enum {
    ADDRESSES_MAX = 32, /* looked at in one answer */
    ARENA_MAX = 64 * 1024,
    NAME_MAX_OCTETS = 253, /* RFC 1035 section 2.3.4, without the final dot */
};

/* The fibers that ask may outlive the session: all hold it, and the profile. */
struct score {
    const struct screen *screen;
    const struct profile *profile;
    unsigned users, pending;
    struct fiber_cond done;
    char client[SOCK_TEXT_MAX];
    int rank, worst_weight;
    size_t worst;
    int64_t ttl_s;
    struct question {
        struct score *score;
        size_t domain;
    } questions[];
};

void
score_leave(struct score *score)
{
    if (score == NULL || --score->users > 0)
        return;
    profile_leave(score->profile);
    mem_free(score);
}

static bool
lists(const struct screen_site *site, const struct dns_answer *got)
{
    for (size_t i = 0; i < got->count && i < ADDRESSES_MAX; i++)
        if (got->records[i].type == DNS_A &&
            dns_list_matches(&site->list, &got->records[i].addr))
            return true;
    return false;
}

static void
log_listed(const struct question *q, const struct dns_answer *got)
{
    const struct screen *screen = q->score->screen;
    char text[SOCK_TEXT_MAX];

    for (size_t i = 0; i < got->count && i < ADDRESSES_MAX; i++)
        if (got->records[i].type == DNS_A)
            log_write(LOG_LEVEL_INFO, screen->tag_dns,
                "addr %s listed by domain " SLICE_FMT " as %s",
                q->score->client, SLICE_ARG(screen->domains[q->domain]),
                sock_addr_text(&got->records[i].addr, text));
}

static void
add_up(const struct question *q, const struct dns_answer *got)
{
    struct score *score = q->score;
    const struct screen *screen = score->screen;

    for (size_t i = 0; i < got->count; i++)
        if (got->records[i].ttl < score->ttl_s)
            score->ttl_s = got->records[i].ttl;
    for (size_t i = 0; i < screen->site_count; i++) {
        const struct screen_site *site = &screen->sites[i];

        if (site->domain != q->domain || !lists(site, got))
            continue;
        score->rank += site->weight;
        if (site->weight > score->worst_weight) {
            score->worst_weight = site->weight;
            score->worst = site->domain;
        }
    }
}

static void
ask(void *arg)
{
    const struct question *q = arg;
    struct score *score = q->score;
    const struct screen *screen = score->screen;
    int64_t timeout = screen->config->postscreen_dnsbl_timeout;
    struct dns_answer got;
    struct arena arena;
    struct buf name;
    struct why why;

    arena_init(&arena, ARENA_MAX);
    buf_init(&name, NAME_MAX_OCTETS);
    if (dns_list_name_of_address(slice_of(score->client),
            screen->domains[q->domain], &name))
        switch (dns_ask(buf_slice(&name), DNS_A, &arena,
            clock_now_ms() + timeout, &got, &why)) {
        case DNS_OK:
            log_listed(q, &got);
            add_up(q, &got);
            break;
        case DNS_TRYAGAIN:
            log_write(LOG_LEVEL_WARNING, screen->tag_dns,
                "lookup error for DNS query %s: %s", buf_text(&name), why.text);
            break;
        case DNS_NXDOMAIN:
        case DNS_NODATA:
            if (got.negative_ttl > 0 && got.negative_ttl < score->ttl_s)
                score->ttl_s = got.negative_ttl;
            break;
        case DNS_INVALID:
            break;
        }
    buf_fini(&name);
    arena_clear(&arena);
    if (--score->pending == 0)
        fiber_cond_broadcast(&score->done);
    score_leave(score);
}

struct score *
score_begin(const struct session *s, const struct screen *screen)
{
    struct score *score = mem_alloc(
        sizeof(*score) + screen->domain_count * sizeof(score->questions[0]));

    score->screen = screen;
    score->profile = profile_hold(s->profile);
    score->users = 1;
    score->ttl_s = screen->config->postscreen_dnsbl_max_ttl / 1000;
    fiber_cond_init(&score->done);
    memcpy(score->client, s->peer.addr, sizeof(score->client));
    for (size_t i = 0; i < screen->domain_count; i++) {
        struct question *q = &score->questions[i];

        *q = (struct question){ score, i };
        score->users++;
        score->pending++;
        if (fiber_spawn("DNS list", ask, q) != NULL)
            continue;
        score->users--;
        score->pending--;
    }
    return score;
}

bool
score_done(const struct score *score)
{
    return score->pending == 0;
}

enum wait_result
score_wait(struct score *score, int64_t deadline_ms)
{
    while (score->pending > 0) {
        enum wait_result res = fiber_cond_wait(&score->done, deadline_ms);

        if (res != WAIT_OK)
            return res;
    }
    return WAIT_OK;
}

int
score_rank(const struct score *score)
{
    return score->rank;
}

struct slice
score_worst(const struct score *score)
{
    return score->worst_weight > 0 ? score->screen->domains[score->worst]
                                   : SLICE_LIT("");
}

int64_t
score_ttl_ms(const struct score *score)
{
    int64_t ttl = score->ttl_s * 1000;
    int64_t least = score->screen->config->postscreen_dnsbl_min_ttl;

    return ttl < least ? least : ttl;
}
