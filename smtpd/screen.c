#include "smtpd/screen.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/count.h"
#include "lib/mail/delivery_log.h"
#include "smtpd/counts.h"
#include "smtpd/peer.h"
#include "smtpd/reply.h"
#include "smtpd/screen_private.h"

enum {
    SHOWN_MAX = 100,         /* octets of what was said too early */
    FAREWELL_MS = 10 * 1000, /* to say a last word to who may not listen */
    TEASE_MS = 10 * 1000,    /* to say the first one */
    SCORE_LOOK_MS = 100,     /* how often it is looked at while we listen */
    NAME_SHOWN = 255,
};

/* Clients under test, in this process. */
static unsigned under_test;

/* The log */

void
screen_log(const struct session *s, const char *what)
{
    log_write(LOG_LEVEL_INFO, s->profile->tag, "%s [%s]:%u", what, s->peer.addr,
        s->peer.port);
}

const char *
screen_elapsed(const struct screening *sc, char text[static 16])
{
    _Static_assert(DELAY_TEXT_SIZE == 16, "as declared");
    return delivery_delay_text((clock_now_ms() - sc->begun_ms) * 1000, text);
}

void
screen_escape(struct slice in, struct buf *to)
{
    static const char special[] = "\a\b\f\n\r\t\v\\", letters[] = "abfnrtv\\";

    for (size_t i = 0; i < in.len && to->len < SHOWN_MAX; i++) {
        char c = in.ptr[i];
        const char *at = c == '\0' ? NULL : strchr(special, c);

        if (at != NULL)
            buf_add_format(to, "\\%c", letters[at - special]);
        else if (c >= ' ' && c <= '~')
            buf_add_octet(to, (unsigned char)c);
        else
            buf_add_format(to, "\\%03o", (unsigned char)c);
    }
    if (to->len > SHOWN_MAX)
        buf_truncate(to, SHOWN_MAX);
}

static void
log_connect(const struct session *s)
{
    log_write(LOG_LEVEL_INFO, s->profile->tag,
        "CONNECT from [%s]:%u to [%s]:%u", s->peer.addr, s->peer.port,
        s->peer.dest_addr, s->peer.dest_port);
}

/* A proxy's health check that has to be looked at is in the log. */
static void
show(struct session *s)
{
    if (s->unseen)
        log_connect(s);
    s->unseen = false;
}

static void
log_hangup(const struct session *s)
{
    char elapsed[16];

    log_write(LOG_LEVEL_INFO, s->profile->tag,
        "HANGUP after %s from [%s]:%u in tests before SMTP handshake",
        screen_elapsed(s->screening, elapsed), s->peer.addr, s->peer.port);
}

/* respectful_logging: the older words for those who still look for them. */
static void
log_listed(const struct session *s, const char *new, const char *old)
{
    screen_log(s, s->config->respectful_logging ? new : old);
}

/* Answers */

static void
farewell(struct session *s)
{
    (void)!stream_flush(s->client, clock_now_ms() + FAREWELL_MS);
}

bool
screen_fail(struct session *s, enum screen_action action, int drop_code,
    const char *status, const char *text)
{
    struct screening *sc = s->screening;

    switch (action) {
    case ACTION_IGNORE:
        break;
    case ACTION_ENFORCE:
        if (sc->no.code == 0)
            (void)refusal_set(&sc->no, 550, status, "%s", text);
        break;
    case ACTION_DROP:
        reply(s, drop_code, "%s %s", status, text);
        farewell(s);
        return false;
    }
    return true;
}

static bool
turn_away(struct session *s, const char *status, const char *text,
    const char *logged)
{
    log_write(LOG_LEVEL_INFO, s->profile->tag,
        "NOQUEUE: reject: CONNECT from [%s]:%u: %s", s->peer.addr, s->peer.port,
        logged);
    reply(s, 421, "%s %s", status, text);
    farewell(s);
    return false;
}

/* postscreen_access_list */

enum standing { STANDING_NONE, STANDING_PERMITTED, STANDING_DENIED };

static enum standing
standing_of_word(const struct session *s, struct slice word)
{
    if (slice_eq_nocase(word, SLICE_LIT("permit")))
        return STANDING_PERMITTED;
    if (slice_eq_nocase(word, SLICE_LIT("reject")))
        return STANDING_DENIED;
    if (!slice_eq_nocase(word, SLICE_LIT("dunno")))
        log_write(LOG_LEVEL_WARNING, s->profile->tag,
            "postscreen_access_list: unknown command: " SLICE_FMT,
            SLICE_ARG(slice_head(word, SHOWN_MAX)));
    return STANDING_NONE;
}

static enum table_status
ask_rule(const struct session *s, const struct screen_rule *rule,
    struct buf *value, struct why *why)
{
    if (rule->is == RULE_NETWORKS)
        return match_list_find_host(s->screening->screen->networks,
            SLICE_LIT("unknown"), slice_of(s->peer.addr), why);
    return table_find(rule->table, slice_of(s->peer.addr), value, why);
}

static enum standing
standing_by(const struct session *s, const struct screen_rule *rule,
    bool *decided, struct buf *value)
{
    struct why why;

    *decided = true;
    if (rule->is == RULE_PERMIT)
        return STANDING_PERMITTED;
    if (rule->is == RULE_REJECT)
        return STANDING_DENIED;
    if (rule->is == RULE_DUNNO)
        return STANDING_NONE;
    switch (ask_rule(s, rule, value, &why)) {
    case TABLE_FOUND:
        if (rule->is == RULE_NETWORKS)
            return STANDING_PERMITTED;
        return standing_of_word(s, slice_trim(buf_slice(value)));
    case TABLE_ERROR:
        log_write(LOG_LEVEL_WARNING, s->profile->tag, "%s", why.text);
        return STANDING_NONE;
    case TABLE_NOT_FOUND:
        break;
    }
    *decided = false;
    return STANDING_NONE;
}

static enum standing
find_standing(const struct session *s)
{
    const struct screen *screen = s->screening->screen;
    enum standing standing = STANDING_NONE;
    bool decided = false;
    struct buf value;

    buf_init(&value, TABLE_KEY_MAX);
    for (size_t i = 0; !decided && i < screen->rule_count; i++)
        standing = standing_by(s, &screen->rules[i], &decided, &value);
    buf_fini(&value);
    return standing;
}

/* The tests before the greeting */

static bool
pregreeted(struct session *s, struct slice in)
{
    struct screening *sc = s->screening;
    char elapsed[16];
    struct buf text;

    buf_init(&text, SHOWN_MAX + 8);
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
    farewell(s);
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
            log_hangup(s);
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
    log_hangup(s);
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

static bool
test_before(struct session *s)
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

/* The way through */

/*
 * It goes on as a session of the server. Who is known to be good keeps the full
 * limits under overload as well.
 */
static bool
let_through(struct session *s, bool good)
{
    const struct profile *next = s->screening->screen->next;

    if (good && next->calm != NULL)
        next = next->calm;
    s->profile = next;
    s->config = next->config;
    return true;
}

/* Where a client may not earn its place on the allow list. */
static bool
is_vetoed(const struct session *s)
{
    struct why why;

    return s->peer.dest_addr[0] != '\0' &&
        match_list_find_host(s->screening->screen->interfaces,
            SLICE_LIT("unknown"), slice_of(s->peer.dest_addr),
            &why) == TABLE_NOT_FOUND;
}

static bool
conclude(struct session *s)
{
    struct screening *sc = s->screening;

    if (sc->no.code != 0) {
        screen_refuse_all(s);
        return false;
    }
    if ((sc->todo & TESTS_AFTER & ~sc->passed) != 0)
        return let_through(s, false);
    if (sc->passed == sc->todo)
        screen_log(s, sc->known ? "PASS OLD" : "PASS NEW");
    return let_through(s, false);
}

/* Whether others leave room; unlike Postfix's, this is for each process. */
static bool
has_room(const struct screen *screen)
{
    unsigned pool = daemon_pool() == 0 ? 1 : daemon_pool();
    int64_t limit = screen->config->postscreen_pre_queue_limit;

    return under_test < (limit + pool - 1) / pool;
}

/* Of one client, over all processes. Who is let through is counted anew. */
static bool
is_one_too_many(struct session *s)
{
    int64_t limit =
        s->screening->screen->config->postscreen_client_connection_count_limit;
    struct count count;

    if (limit == 0)
        return false;
    s->count_key = mem_format("%s:%s", s->profile->tag, s->peer.addr);
    return count_ask(COUNT_CONNECT, slice_of(s->count_key), &count) &&
        count.connections > limit;
}

static bool
test_client(struct session *s)
{
    struct screening *sc = s->screening;

    if (is_one_too_many(s))
        return turn_away(s, "4.7.0", "Error: too many connections",
            "too many connections");

    if (!has_room(sc->screen))
        return turn_away(s, "4.3.2", "All screening ports are busy",
            "all screening ports busy");
    if (is_vetoed(s)) {
        log_listed(s, "ALLOWLIST VETO", "WHITELIST VETO");
        (void)refusal_set(&sc->no, 450, "4.3.2",
            "Service currently unavailable");
    }
    under_test++;
    if (test_before(s) && conclude(s)) {
        under_test--;
        return true;
    }
    under_test--;
    return false;
}

static bool
screen_session(struct session *s)
{
    struct screening *sc = s->screening;

    switch (find_standing(s)) {
    case STANDING_PERMITTED:
        if (!s->unseen)
            log_listed(s, "ALLOWLISTED", "WHITELISTED");
        return let_through(s, true);
    case STANDING_DENIED:
        show(s);
        log_listed(s, "DENYLISTED", "BLACKLISTED");
        if (!screen_fail(s, sc->screen->denylisted, 521, "5.3.2",
                "Service currently unavailable"))
            return false;
        break;
    case STANDING_NONE:
        show(s);
        break;
    }
    screen_recall(s);
    if (sc->todo == 0 && sc->no.code == 0) {
        screen_log(s, "PASS OLD");
        return let_through(s, true);
    }
    return test_client(s);
}

static void
find_destination(struct session *s)
{
    struct sock_addr own = { .len = sizeof(own.u) };

    if (s->peer.dest_addr[0] != '\0' ||
        getsockname(stream_fd(s->client), &own.u.any, &own.len) < 0 ||
        (own.u.any.sa_family != AF_INET && own.u.any.sa_family != AF_INET6))
        return;
    (void)sock_addr_text(&own, s->peer.dest_addr);
    s->peer.dest_port = sock_addr_port(&own);
}

bool
screen_client(struct session *s)
{
    const struct profile *own = s->profile;
    struct screening *sc = mem_alloc(sizeof(*sc));

    sc->screen = own->screen;
    sc->after = "CONNECT";
    s->screening = sc;
    s->peer.name = mem_text("unknown"); /* not asked for yet */
    peer_describe(s);
    find_destination(s);
    if (!s->unseen)
        log_connect(s);
    if (!screen_session(s)) {
        screen_end(s);
        s->profile = own;
        screen_log(s, "DISCONNECT");
        return false;
    }
    counts_disconnect(s);
    /* Tests that are not done yet go on in the session. */
    sc->begun_ms = clock_now_ms();
    if ((sc->todo & TESTS_AFTER & ~sc->passed) == 0)
        screen_end(s);
    return true;
}

void
screen_end(struct session *s)
{
    struct screening *sc = s->screening;

    if (sc == NULL)
        return;
    screen_remember(s);
    score_leave(sc->score);
    mem_free(sc);
    s->screening = NULL;
}
