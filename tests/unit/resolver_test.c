/*
 * lookup's DNS, by libunbound and by the stub, against a server of a few names:
 * what becomes of each kind of answer, caching, several at once, none there.
 */
#include "lookup/resolver.h"

#include "lib/base/arena.h"
#include "lib/config/config.h"
#include "lib/io/fiber.h"
#include "tests/unit/dns_server.h"

static struct resolver *resolver;
static const char *mode; /* of it, to tell */

static const struct {
    const char *name;
    enum dns_type type;
    enum dns_status want;
    const char *records; /* "20 mx2.test|10 mx1.test" in any order */
    const char *canonical;
} cases[] = {
    { "two.test", DNS_MX, DNS_OK, "10 mx1.test|20 mx2.test", "" },
    { "TWO.test.", DNS_MX, DNS_OK, "10 mx1.test|20 mx2.test", "" },
    { "mx1.test", DNS_A, DNS_OK, "192.0.2.1", "" },
    { "mx1.test", DNS_AAAA, DNS_OK, "2001:db8::1", "" },
    { "mx1.test", DNS_MX, DNS_NODATA, "", "" },
    { "null.test", DNS_MX, DNS_OK, "0 ", "" },
    { "alias.test", DNS_A, DNS_OK, "192.0.2.1", "mx1.test" },
    { "alias.test", DNS_MX, DNS_NODATA, "", "mx1.test" },
    { "loop.test", DNS_A, DNS_TRYAGAIN, "", NULL },
    { "text.test", DNS_TXT, DNS_OK, "v=spf1 -all", "" },
    { "1.2.0.192.in-addr.arpa", DNS_PTR, DNS_OK, "mx1.test", "" },
    { "none.test", DNS_A, DNS_NXDOMAIN, "", "" },
    { "none.test", DNS_MX, DNS_NXDOMAIN, "", "" },
    { "fail.test", DNS_A, DNS_TRYAGAIN, "", "" },
    { "odd.test", DNS_MX, DNS_INVALID, "", "" },
    { "localhost", DNS_A, DNS_OK, "127.0.0.9", "" },
    { "192.0.2.1", DNS_A, DNS_INVALID, "", "" },
    { "a..b", DNS_A, DNS_INVALID, "", "" },
    { "", DNS_A, DNS_INVALID, "", "" },
};

static void
show_record(const struct dns_record *r, struct buf *to)
{
    char address[SOCK_TEXT_MAX];

    if (r->type == DNS_A || r->type == DNS_AAAA)
        buf_add_text(to, sock_addr_text(&r->addr, address));
    else if (r->type == DNS_MX)
        buf_add_format(to, "%u " SLICE_FMT, r->preference, SLICE_ARG(r->name));
    else
        buf_add(to, r->name);
}

/* Each record of the answer is named in want, and there are as many. */
static void
check_records(const char *question, const struct dns_answer *a,
    const char *want)
{
    struct slice rest;
    struct buf shown;
    size_t wanted = want[0] != '\0';

    for (const char *p = want; *p != '\0'; p++)
        wanted += *p == '|';
    if (a->status != DNS_OK ? want[0] != '\0' : wanted != a->count)
        failure("%s: %zu records", question, a->count);
    buf_init(&shown, 8192);
    for (size_t i = 0; a->status == DNS_OK && i < a->count; i++) {
        bool found = false;

        buf_clear(&shown);
        show_record(&a->records[i], &shown);
        for (rest = slice_of(want); rest.len > 0;) {
            struct slice one = slice_head(rest, slice_find(rest, '|'));

            found = found || slice_eq(one, buf_slice(&shown));
            rest = slice_skip(rest, one.len + 1);
        }
        if (!found)
            failure("%s: record %s", question, buf_text(&shown));
    }
    buf_fini(&shown);
}

static void
ask(const char *name, enum dns_type type, struct arena *arena,
    struct dns_answer *answer)
{
    struct why why;

    resolver_ask(resolver, slice_of(name), type, arena, clock_now_ms() + 10000,
        answer, &why);
}

static void
ask_cases(bool trust_ad)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dns_answer answer;
        struct arena arena;

        arena_init(&arena, 1 << 20);
        ask(cases[i].name, cases[i].type, &arena, &answer);
        if (answer.status != cases[i].want)
            failure("%s %d: status %d", cases[i].name, cases[i].type,
                answer.status);
        check_records(cases[i].name, &answer, cases[i].records);
        if (cases[i].canonical != NULL && answer.status != DNS_TRYAGAIN &&
            !slice_eq_text(answer.canonical, cases[i].canonical))
            failure("%s: canonical \"" SLICE_FMT "\"", cases[i].name,
                SLICE_ARG(answer.canonical));
        if (answer.status == DNS_OK && answer.secure != trust_ad)
            failure("%s: secure %d", cases[i].name, answer.secure);
        arena_clear(&arena);
    }
}

static void
ask_large(void)
{
    struct dns_answer answer;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    ask("large.test", DNS_TXT, &arena, &answer);
    if (answer.status != DNS_OK || answer.count != 1 ||
        answer.records[0].name.len != 4000)
        failure("large.test: status %d", answer.status);
    if (server.tcp_questions == 0)
        failure("TCP was not used");
    arena_clear(&arena);
}

/* A second time nothing is asked of the server, SERVFAIL and nonsense apart. */
static void
ask_cached(void)
{
    struct dns_answer answer;
    struct arena arena;
    unsigned before = server.questions;

    arena_init(&arena, 1 << 20);
    ask("two.test", DNS_MX, &arena, &answer);
    ask("none.test", DNS_A, &arena, &answer);
    ask("mx1.test", DNS_MX, &arena, &answer);
    ask("large.test", DNS_TXT, &arena, &answer);
    if (server.questions != before)
        failure("%u questions were not cached", server.questions - before);
    arena_clear(&arena);
}

static unsigned together;

static void
ask_one_of_many(void *arg)
{
    struct dns_answer answer;
    struct arena arena;

    (void)arg;
    arena_init(&arena, 1 << 20);
    ask("many.test", DNS_A, &arena, &answer);
    if (answer.status != DNS_NXDOMAIN)
        failure("many.test: status %d", answer.status);
    arena_clear(&arena);
    together--;
}

/* A hundred who ask the same at once are one question. */
static void
ask_together(void)
{
    unsigned before = server.questions;

    together = 100;
    for (unsigned i = 0; i < 100; i++)
        if (fiber_spawn("ask", ask_one_of_many, NULL) == NULL)
            failure("fiber");
    while (together > 0)
        fiber_sleep_until(clock_now_ms() + 1);
    if (server.questions != before + 1)
        failure("%u questions, not one", server.questions - before);
}

static void
ask_silent(void)
{
    struct dns_answer answer;
    struct arena arena;
    struct why why;
    int64_t start = clock_now_ms();

    server.silent = true;
    arena_init(&arena, 1 << 20);
    resolver_ask(resolver, SLICE_LIT("silent.test"), DNS_A, &arena,
        clock_now_ms() + 200, &answer, &why);
    if (answer.status != DNS_TRYAGAIN || clock_now_ms() - start > 2000)
        failure("silent server: status %d", answer.status);
    server.silent = false;
    /* And it is asked again once it speaks. */
    ask("mx2.silent.test", DNS_A, &arena, &answer);
    if (answer.status != DNS_NXDOMAIN)
        failure("after silence: status %d", answer.status);
    arena_clear(&arena);
}

/* Whoever guesses does not get the time to be right: TCP. */
static void
ask_forged(void)
{
    unsigned before = server.tcp_questions;
    struct dns_answer answer;
    struct arena arena;

    arena_init(&arena, 1 << 20);
    ask("forged.test", DNS_A, &arena, &answer);
    check_records("forged.test", &answer, "192.0.2.9");
    if (answer.status != DNS_OK || server.tcp_questions != before + 1)
        failure("forged: status %d", answer.status);
    arena_clear(&arena);
}

static void
configure(const char *text)
{
    struct config_set *set;
    struct why why;

    if (config_from_text(text, "", &set, &why) != RESULT_OK ||
        resolver_configure(resolver, config_main(set), &why) != RESULT_OK)
        failure("%s: %s", text, why.text);
    config_drop(set);
}

static void
run_mode(bool trust_ad)
{
    char text[128];

    snprintf(text, sizeof(text),
        "dns_resolvers=127.0.0.1@%u\ndns_trust_ad=%s\n", server.port,
        trust_ad ? "yes" : "no");
    mode = trust_ad ? "stub" : "libunbound";
    configure(text);
    server.tcp_questions = 0;
    ask_cases(trust_ad);
    ask_large();
    ask_cached();
    ask_together();
    if (trust_ad)
        ask_forged();
    ask_silent();
}

static void
run(void *arg)
{
    struct fiber *udp = fiber_spawn("udp", serve_udp, NULL);
    struct fiber *tcp = fiber_spawn("tcp", serve_tcp, NULL);

    (void)arg;
    resolver = resolver_new();
    run_mode(true);
    if (failed[0] == '\0')
        run_mode(false);
    resolver_free(resolver);
    fiber_cancel(udp);
    fiber_cancel(tcp);
}

static void
test_modes(void **state)
{
    (void)state;
    open_server();
    sched_open();
    assert_non_null(fiber_spawn("test", run, NULL));
    sched_run();
    sched_close();
    close(server.udp);
    close(server.tcp);
    if (failed[0] != '\0')
        fail_msg("%s: %s", mode, failed);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
