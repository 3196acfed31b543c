/*
 * check_greylist: who is put off, who is known, and for how long.
 */
#include "lib/base/mem.h"
#include "lib/table/memo.h"
#include "tests/unit/smtpd_world.h"

/* lookup's memory, in place of lib/table/memo.c. */
enum { RECORDS = 64 };
static struct {
    bool down;
    size_t count;
    struct {
        char key[256], value[64];
        int64_t end_s;
    } records[RECORDS];
} memory;

static size_t
find(struct slice key)
{
    size_t i = 0;

    while (i < memory.count && !slice_eq_text(key, memory.records[i].key))
        i++;
    return i;
}

enum memo_status
memo_find(enum memo_book book, struct slice key, int64_t deadline_ms,
    struct buf *value)
{
    size_t i = find(key);

    (void)deadline_ms;
    assert_int_equal(book, MEMO_GREYLIST);
    fiber_yield();
    buf_clear(value);
    if (memory.down)
        return MEMO_ERROR;
    if (i == memory.count || memory.records[i].end_s <= clock_wall_s())
        return MEMO_NOT_FOUND;
    buf_add_text(value, memory.records[i].value);
    return MEMO_FOUND;
}

void
memo_keep(enum memo_book book, struct slice key, struct slice value,
    int64_t end_s)
{
    size_t i = find(key);

    assert_int_equal(book, MEMO_GREYLIST);
    assert_true(i < RECORDS);
    if (i == memory.count)
        memory.count++;
    snprintf(memory.records[i].key, sizeof(memory.records[i].key), SLICE_FMT,
        SLICE_ARG(key));
    snprintf(memory.records[i].value, sizeof(memory.records[i].value),
        SLICE_FMT, SLICE_ARG(value));
    memory.records[i].end_s = end_s;
}

#define DAY INT64_C(86400000)
#define NO                                                                   \
    "450 4.2.0 <x@relay.test>: Recipient address rejected: Greylisted, see " \
    "https://www.rfc-editor.org/rfc/rfc6647"
#define YES "250 2.1.5 Ok"

/* One mail, some time after the one before. */
struct mail {
    int64_t after_ms;
    const char *client, *sender, *recipient, *reply;
};

static const struct {
    const char *name, *config;
    struct mail mails[10];
} cases[] = {
    { "comes again", "",
        { { 0, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 299000, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 1000, "192.0.2.7", "a@b.test", "x@relay.test", YES },
            { DAY, "192.0.2.7", "a@b.test", "x@relay.test", YES } } },
    { "from a neighbour, in other letters", "",
        { { 0, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 300000, "192.0.2.99", "A@B.TEST", "X@Relay.test", YES } } },
    { "from elsewhere", "",
        { { 0, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 300000, "192.0.3.7", "a@b.test", "x@relay.test", NO } } },
    { "networks of another size",
        "smtpd_greylist_ipv4_prefix_length = 16\n"
        "smtpd_greylist_delay = 10s\n",
        { { 0, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 10000, "192.0.3.7", "a@b.test", "x@relay.test", YES } } },
    { "IPv6", "",
        { { 0, "2001:db8::1", "a@b.test", "x@relay.test", NO },
            { 300000, "2001:db8::ffff:1:2", "a@b.test", "x@relay.test", YES },
            { 0, "2001:db8:0:1::1", "a@b.test", "x@relay.test", NO } } },
    { "comes too late", "",
        { { 0, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 2 * DAY, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 300000, "192.0.2.7", "a@b.test", "x@relay.test", YES } } },
    { "a known sender to another recipient", "",
        { { 0, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 300000, "192.0.2.7", "a@b.test", "x@relay.test", YES },
            { 0, "192.0.2.7", "a@b.test", "y@relay.test", YES },
            { 0, "192.0.2.7", "c@b.test", "x@relay.test", NO } } },
    { "notices are known one by one", "",
        { { 0, "192.0.2.7", "", "y@relay.test", "450" },
            { 300000, "192.0.2.7", "", "y@relay.test", YES },
            { 0, "192.0.2.7", "", "x@relay.test", NO } } },
    { "a network that earned it", "smtpd_greylist_auto_allow_limit = 2\n",
        { { 0, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 0, "192.0.2.7", "b@b.test", "x@relay.test", NO },
            { 300000, "192.0.2.7", "a@b.test", "x@relay.test", YES },
            { 0, "192.0.2.7", "c@b.test", "x@relay.test", NO },
            { 0, "192.0.2.7", "b@b.test", "x@relay.test", YES },
            { 0, "192.0.2.7", "d@b.test", "x@relay.test", YES } } },
    { "forgotten", "",
        { { 0, "192.0.2.7", "a@b.test", "x@relay.test", NO },
            { 300000, "192.0.2.7", "a@b.test", "x@relay.test", YES },
            { 20 * DAY, "192.0.2.7", "a@b.test", "x@relay.test", YES },
            { 20 * DAY, "192.0.2.7", "a@b.test", "x@relay.test", YES },
            { 36 * DAY, "192.0.2.7", "a@b.test", "x@relay.test", NO } } },
    { "only warned",
        "smtpd_recipient_restrictions = reject_unauth_destination, "
        "warn_if_reject, check_greylist\n",
        { { 0, "192.0.2.7", "a@b.test", "x@relay.test", YES } } },
};

static void
send_one(const struct mail *m)
{
    char script[1024];
    bool part = strlen(m->reply) == 3;

    advance(m->after_ms);
    snprintf(script, sizeof(script),
        "< 220 mx.test ESMTP Postern\n"
        "> HELO foo\n"
        "< 250 mx.test\n"
        "> MAIL FROM:<%s>\n"
        "< 250 2.1.0 Ok\n"
        "> RCPT TO:<%s>\n%s%s\n",
        m->sender, m->recipient, part ? "" : "< ", part ? "" : m->reply);
    world_play(m->client, script);
}

static void
test_mails(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *config = mem_format(
            "smtpd_recipient_restrictions = reject_unauth_destination, "
            "check_greylist\n%s",
            cases[i].config);

        print_message("  %s\n", cases[i].name);
        memset(&memory, 0, sizeof(memory));
        world_open(config);
        if (world.compiled != RESULT_OK)
            fail_msg("%s", world.why.text);
        for (const struct mail *m = cases[i].mails; m->client != NULL; m++)
            send_one(m);
        world_close();
        mem_free(config);
    }
}

/* Nobody is put off because we have lost our memory. */
static void
test_no_memory(void **state)
{
    static const struct mail one = { 0, "192.0.2.7", "a@b.test", "x@relay.test",
        YES };

    (void)state;
    memset(&memory, 0, sizeof(memory));
    memory.down = true;
    world_open("smtpd_recipient_restrictions = reject_unauth_destination, "
               "check_greylist\n");
    send_one(&one);
    world_close();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mails),
        cmocka_unit_test(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
