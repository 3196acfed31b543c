/*
 * screen_before - the tests before the greeting: who speaks too early, and whom
 * lists in DNS name.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "smtpd/reply.h"
#include "smtpd/screen_private.h"

enum {
    TEASE_MS = 10 * 1000, /* to say the first line */
    SCORE_LOOK_MS = 100,  /* how often it is looked at while we listen */
    NAME_SHOWN = 255,
};

static bool
pregreeted(struct session *s, struct slice in)
{
    struct screening *sc = s->screening;
    char elapsed[DELAY_TEXT_SIZE];
    struct buf text;

    buf_init(&text, SCREEN_SHOWN_MAX + 8);
    screen_escape(in, &text);
    log_write(LOG_LEVEL_INFO, s->profile->tag,
        "PREGREET %zu after %s from [%s]:%u: %s", in.len,
        screen_elapsed(sc, elapsed), s->peer.addr, s->peer.port,
        buf_text(&text));
    buf_fini(&text);
    sc->failed |= 1U << TEST_PREGREET;
    return screen_fail(s, sc->screen->actions[TEST_PREGREET], 521, "5.5.1",
        "Protocol error");
}

/* A list of good clients has said enough: there is nothing to wait for. */
static bool
is_praised(const struct screening *sc)
{
    int64_t threshold =
        sc->screen->config->postscreen_dnsbl_allowlist_threshold;

    return sc->score != NULL && threshold < 0 && score_done(sc->score) &&
        score_rank(sc->score) <= threshold;
}

static int64_t
next_look(const struct screening *sc, int64_t end)
{
    int64_t look = clock_now_ms() + SCORE_LOOK_MS;

    return sc->score != NULL && !score_done(sc->score) &&
            sc->screen->config->postscreen_dnsbl_allowlist_threshold < 0 &&
            look < end
        ? look
        : end;
}

static bool
say_drained(struct session *s)
{
    reply(s, 421, "4.3.2 %s Service not available, closing channel",
        s->config->myhostname);
    screen_farewell(s);
    return false;
}

/* Who speaks before the greeting gives itself away. False: it is over. */
static bool
listen_until(struct session *s, int64_t end)
{
    struct screening *sc = s->screening;
    struct slice in;

    while (!is_praised(sc)) {
        switch (stream_peek(s->client, next_look(sc, end), &in)) {
        case STREAM_OK:
            return pregreeted(s, in);
        case STREAM_EOF:
        case STREAM_ERROR:
        case STREAM_TOO_LONG:
            screen_log_hangup(s);
            return false;
        case STREAM_CANCELLED:
            return say_drained(s);
        case STREAM_TIMEOUT:
            if (clock_now_ms() >= end)
                return true;
        }
    }
    return true;
}

/* The first line of a greeting that goes on only when we have looked. */
static bool
tease(struct session *s)
{
    const char *banner = s->screening->screen->config->postscreen_greet_banner;

    if (banner[0] == '\0')
        return true;
    reply_more(s, 220, "%s", banner);
    if (stream_flush(s->client, clock_now_ms() + TEASE_MS) == STREAM_OK)
        return true;
    screen_log_hangup(s);
    return false;
}

static bool
wait_for_greeting(struct session *s)
{
    struct screening *sc = s->screening;
    int64_t end = clock_now_ms() + sc->screen->config->postscreen_greet_wait;
    bool listening = (sc->todo & 1U << TEST_PREGREET) != 0;

    if (listening && (!tease(s) || !listen_until(s, end)))
        return false;
    /* The lists have until the end, and as long as it takes them at most. */
    if (sc->score != NULL && !is_praised(sc) &&
        score_wait(sc->score, end) == WAIT_CANCELLED)
        return say_drained(s);
    if (listening && (sc->failed & 1U << TEST_PREGREET) != 0 &&
        fiber_sleep_until(end) == WAIT_CANCELLED)
        return say_drained(s);
    return true;
}

/* As postscreen_dnsbl_reply_map has it: a list's name may be a secret. */
static void
name_list(const struct session *s, struct slice domain, struct buf *to)
{
    struct why why;

    switch (
        table_list_find(s->screening->screen->reply_names, domain, to, &why)) {
    case TABLE_FOUND:
        return;
    case TABLE_ERROR:
        /* Nobody is told what may be one. */
        log_write(LOG_LEVEL_WARNING, s->profile->tag, "%s", why.text);
        buf_clear(to);
        buf_add_text(to, "a DNS list");
        return;
    case TABLE_NOT_FOUND:
        buf_clear(to);
        buf_add(to, domain);
    }
}

static bool
listed(struct session *s, int rank)
{
    struct screening *sc = s->screening;
    struct buf name;
    char *text;
    bool more;

    log_write(LOG_LEVEL_INFO, s->profile->tag, "DNSBL rank %d for [%s]:%u",
        rank, s->peer.addr, s->peer.port);
    sc->failed |= 1U << TEST_DNSBL;
    buf_init(&name, TABLE_KEY_MAX);
    name_list(s, score_worst(sc->score), &name);
    text = mem_format("Service unavailable; client [%s] blocked using %.*s",
        s->peer.addr, NAME_SHOWN, buf_text(&name));
    more = screen_fail(s, sc->screen->actions[TEST_DNSBL], 521, "5.7.1", text);
    mem_free(text);
    buf_fini(&name);
    return more;
}

/*
 * Good enough to skip all tests: they count as passed for as long as what the
 * lists said.
 */
static void
pass_all(struct screening *sc)
{
    sc->todo |= 1U << TEST_DNSBL | 1U << TEST_PREGREET | TESTS_AFTER;
    for (enum screen_test t = 0; t < TESTS; t++)
        screen_pass(sc, t, score_ttl_ms(sc->score));
}

static bool
judge(struct session *s)
{
    struct screening *sc = s->screening;
    const struct config *c = sc->screen->config;

    if (sc->score != NULL) {
        int rank = score_rank(sc->score);

        if (rank >= c->postscreen_dnsbl_threshold) {
            if (!listed(s, rank))
                return false;
        } else if (c->postscreen_dnsbl_allowlist_threshold < 0 &&
            rank <= c->postscreen_dnsbl_allowlist_threshold &&
            sc->failed == 0) {
            pass_all(sc);
            return true;
        } else {
            screen_pass(sc, TEST_DNSBL, score_ttl_ms(sc->score));
        }
    }
    if ((sc->todo & ~sc->failed & 1U << TEST_PREGREET) != 0)
        screen_pass(sc, TEST_PREGREET, c->postscreen_greet_ttl);
    return true;
}

bool
screen_test_before(struct session *s)
{
    struct screening *sc = s->screening;
    bool passed;

    sc->begun_ms = clock_now_ms();
    if ((sc->todo & 1U << TEST_DNSBL) != 0)
        sc->score = score_begin(s, sc->screen);
    s->idle = true; /* a drain need not wait for this */
    passed = wait_for_greeting(s);
    s->idle = false;
    return passed && judge(s);
}
