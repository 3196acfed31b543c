#include "smtpd/screen.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/count.h"
#include "smtpd/counts.h"
#include "smtpd/peer.h"
#include "smtpd/reply.h"
#include "smtpd/screen_private.h"

enum { FAREWELL_MS = 10 * 1000 }; /* to say a last word to who may not listen */

/* Clients under test, in this process. */
static unsigned under_test;

/* The log */

/* "postfix/postscreen[1]: WHAT [a]:p" and the like: client is the last word. */
static void
log_client(const struct session *s, const char *what)
{
    log_write(LOG_LEVEL_INFO, s->profile->tag, "%s [%s]:%u", what, s->peer.addr,
        s->peer.port);
}

const char *
screen_elapsed(const struct screening *sc, char text[static DELAY_TEXT_SIZE])
{
    return delivery_delay_text((clock_now_ms() - sc->begun_ms) * 1000,
        sc->screen->config->delay_logging_resolution_limit, text);
}

void
screen_escape(struct slice in, struct buf *to)
{
    static const char special[] = "\a\b\f\n\r\t\v\\", letters[] = "abfnrtv\\";

    for (size_t i = 0; i < in.len && to->len < SCREEN_SHOWN_MAX; i++) {
        char c = in.ptr[i];
        const char *at = c == '\0' ? NULL : strchr(special, c);

        if (at != NULL)
            buf_add_format(to, "\\%c", letters[at - special]);
        else if (c >= ' ' && c <= '~')
            buf_add_octet(to, (unsigned char)c);
        else
            buf_add_format(to, "\\%03o", (unsigned char)c);
    }
    if (to->len > SCREEN_SHOWN_MAX)
        buf_truncate(to, SCREEN_SHOWN_MAX);
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

void
screen_log_hangup(const struct session *s)
{
    char elapsed[DELAY_TEXT_SIZE];

    log_write(LOG_LEVEL_INFO, s->profile->tag,
        "HANGUP after %s from [%s]:%u in tests before SMTP handshake",
        screen_elapsed(s->screening, elapsed), s->peer.addr, s->peer.port);
}

/* respectful_logging: the older words for those who still look for them. */
static void
log_listed(const struct session *s, const char *new, const char *old)
{
    log_client(s, s->config->respectful_logging ? new : old);
}

/* Answers */

void
screen_farewell(struct session *s)
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
        screen_farewell(s);
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
    screen_farewell(s);
    return false;
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
        log_client(s, sc->known ? "PASS OLD" : "PASS NEW");
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

    if (s->extra || !has_room(sc->screen))
        return turn_away(s, "4.3.2", "All screening ports are busy",
            "all screening ports busy");
    if (is_vetoed(s)) {
        log_listed(s, "ALLOWLIST VETO", "WHITELIST VETO");
        (void)refusal_set(&sc->no, 450, "4.3.2",
            "Service currently unavailable");
    }
    under_test++;
    if (screen_test_before(s) && conclude(s)) {
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

    switch (screen_standing(s)) {
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
        log_client(s, "PASS OLD");
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
        log_client(s, "DISCONNECT");
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
