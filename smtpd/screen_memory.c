/*
 * screen_memory - what is remembered of clients that passed tests: for each test
 * to when passing it counts, "0;1795291511;0;0;0" in seconds since 1970, in the
 * order of enum screen_test. (Postfix keeps them in the same form.)
 */
#include "lib/base/clock.h"
#include "lib/base/num.h"
#include "lib/table/memo.h"
#include "smtpd/screen_private.h"

enum {
    RECALL_MS = 2000, /* longer than that nobody waits for what is known */
    RECORD_MAX = 200,
};

bool
screen_record_parse(struct slice text, int64_t until_s[TESTS])
{
    int64_t read[TESTS] = { 0 };
    struct slice word;
    unsigned i = 0;

    while (slice_word(&text, ";", &word)) {
        uint64_t n;

        if (i == TESTS || !num_parse_u64(word, INT64_MAX / 1000, &n))
            return false;
        read[i++] = (int64_t)n;
    }
    if (i == 0)
        return false;
    memcpy(until_s, read, sizeof(read));
    return true;
}

static void
put_record(const int64_t until_s[TESTS], struct buf *to)
{
    for (unsigned i = 0; i < TESTS; i++)
        buf_add_format(to, "%s%jd", i == 0 ? "" : ";", (intmax_t)until_s[i]);
}

void
screen_recall(struct session *s)
{
    struct screening *sc = s->screening;
    int64_t now = clock_wall_s();
    struct buf value;

    buf_init(&value, MEMO_VALUE_MAX);
    sc->known = memo_find(MEMO_SCREEN, slice_of(s->peer.addr),
                    clock_now_ms() + RECALL_MS, &value) == MEMO_FOUND &&
        screen_record_parse(buf_slice(&value), sc->until_s);
    buf_fini(&value);
    for (enum screen_test t = 0; t < TESTS; t++)
        if ((sc->screen->enabled & 1U << t) != 0 && sc->until_s[t] <= now)
            sc->todo |= 1U << t;
}

void
screen_pass(struct screening *sc, enum screen_test test, int64_t ttl_ms)
{
    int64_t until = clock_wall_s() + ttl_ms / 1000;

    sc->passed |= 1U << test;
    if (until > sc->until_s[test])
        sc->until_s[test] = until;
}

/* Kept beyond its end: who comes a day late is not new. */
void
screen_remember(const struct session *s)
{
    const struct screening *sc = s->screening;
    int64_t last = 0;
    struct buf value;

    if (sc->passed == 0)
        return;
    for (unsigned i = 0; i < TESTS; i++)
        if (sc->until_s[i] > last)
            last = sc->until_s[i];
    buf_init(&value, RECORD_MAX);
    put_record(sc->until_s, &value);
    memo_keep(MEMO_SCREEN, slice_of(s->peer.addr), buf_slice(&value),
        last + sc->screen->config->postscreen_cache_retention_time / 1000);
    buf_fini(&value);
}
