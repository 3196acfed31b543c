/*
 * Which messages the filters of postqueue and postsuper mean.
 */
#include "lib/mail/queue_filter.h"

#include "lib/base/mem.h"
#include "lib/mail/queue_control.h"

#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { S = 1000000 };
static const int64_t now = (int64_t)1700000000 * S;

static struct queue_recipient recipients[] = {
    { { "ann@example.org", 15 }, { "connect to a: Connection timed out", 34 } },
    { { "Bob@Mail.Example.NET", 20 }, { "host b said: 450 greylisted", 27 } },
    { { "root", 4 }, { "", 0 } },
};

static const struct option options[] = { QUEUE_FILTER_LONG_OPTIONS, { 0 } };

static int
option_named(const char *name)
{
    for (size_t i = 0; options[i].name != NULL; i++)
        if (strcmp(options[i].name, name) == 0)
            return options[i].val;
    fail_msg("no option %s", name);
    return 0;
}

/* At most two options, by name and value. */
static const struct {
    const char *name, *value, *name2, *value2;
    bool want;
} cases[] = {
    { "sender", "s@client.test", NULL, NULL, true },
    { "sender", "S@Client.Test", NULL, NULL, true },
    { "sender", "*@client.test", NULL, NULL, true },
    { "sender", "t@client.test", NULL, NULL, false },
    { "sender", "client.test", NULL, NULL, false },
    { "sender", "<>", NULL, NULL, false },
    { "recipient", "ann@example.org", NULL, NULL, true },
    { "recipient", "bob@mail.example.net", NULL, NULL, true },
    { "recipient", "root", NULL, NULL, true },
    { "recipient", "ann", NULL, NULL, false },
    { "recipient", "a?n@*", NULL, NULL, true },
    { "domain", "example.org", NULL, NULL, true },
    { "domain", "EXAMPLE.org", NULL, NULL, true },
    { "domain", "example.net", NULL, NULL, false },
    { "domain", "*.example.net", NULL, NULL, true },
    { "domain", "root", NULL, NULL, false },
    { "reason", "*timed out*", NULL, NULL, true },
    { "reason", "timed out", NULL, NULL, false },
    { "reason", "*refused*", NULL, NULL, false },
    { "older-than", "1h", NULL, NULL, true },
    { "older-than", "2d", NULL, NULL, false },
    { "older-than", "86399", NULL, NULL, true },
    { "newer-than", "2d", NULL, NULL, true },
    { "newer-than", "1h", NULL, NULL, false },
    /* All that is given; of recipients, for the same one. */
    { "sender", "s@client.test", "domain", "example.org", true },
    { "sender", "s@client.test", "domain", "elsewhere.org", false },
    { "domain", "example.org", "reason", "*timed out*", true },
    { "domain", "example.org", "reason", "*greylisted*", false },
    { "recipient", "bob*", "reason", "*greylisted*", true },
    { "older-than", "1h", "newer-than", "2d", true },
};

static void
set(struct queue_filter *f, const char *name, const char *value)
{
    struct why why;

    if (name != NULL)
        assert_int_equal(queue_filter_set(f, option_named(name), value, now,
                             &why),
            RESULT_OK);
}

static void
test_matches(void **state)
{
    const struct queue_item item = {
        .sender = SLICE_LIT("s@client.test"),
        .arrival_us = now - (int64_t)24 * 3600 * S,
        .recipients = recipients,
        .recipient_count = 3,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct queue_filter f = { 0 };

        assert_true(queue_filter_is_empty(&f));
        assert_true(queue_filter_matches(&f, &item));
        set(&f, cases[i].name, cases[i].value);
        set(&f, cases[i].name2, cases[i].value2);
        assert_false(queue_filter_is_empty(&f));
        if (queue_filter_matches(&f, &item) != cases[i].want)
            fail_msg("--%s=%s", cases[i].name, cases[i].value);
        /* The index may only say no where the whole says no. */
        if (cases[i].want)
            assert_true(queue_filter_age_matches(&f, item.arrival_us));
    }
}

static void
test_null_sender(void **state)
{
    static const char *const means[] = { "<>", "MAILER-DAEMON", "*",
        "mailer*" };
    const struct queue_item item = { .arrival_us = now };

    (void)state;
    for (size_t i = 0; i < sizeof(means) / sizeof(means[0]); i++) {
        struct queue_filter f = { 0 };

        set(&f, "sender", means[i]);
        assert_true(queue_filter_matches(&f, &item));
        f = (struct queue_filter){ .recipient = SLICE_LIT("*") };
        assert_false(queue_filter_matches(&f, &item)); /* it has none left */
    }
}

static void
test_refused(void **state)
{
    static const char *const ages[] = { "", "x", "-1", "2y",
        "99999999999999999" };
    static char long_text[QUEUE_FILTER_TEXT_MAX + 2];
    struct queue_filter f = { 0 };
    struct why why;

    (void)state;
    memset(long_text, 'a', sizeof(long_text) - 1);
    for (size_t i = 0; options[i].name != NULL; i++) {
        assert_int_equal(queue_filter_set(&f, options[i].val, "", now, &why),
            RESULT_PERMFAIL);
        assert_int_equal(queue_filter_set(&f, options[i].val, long_text, now,
                             &why),
            RESULT_PERMFAIL);
    }
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++)
        assert_int_equal(queue_filter_set(&f, QUEUE_FILTER_OLDER, ages[i], now,
                             &why),
            RESULT_PERMFAIL);
    assert_true(queue_filter_is_empty(&f));
}

/* Over the link and back. */
static void
test_request(void **state)
{
    struct queue_request *a = mem_alloc(sizeof(*a)), *b = mem_alloc(sizeof(*b));
    struct msg m;

    (void)state;
    a->queues = 1U << QUEUE_DEFERRED;
    a->task = QUEUE_TASK_HOLD;
    a->flags = QUEUE_DRY_RUN | QUEUE_NAME_EACH;
    a->ids[0] = 7;
    a->ids[1] = UINT64_MAX;
    a->id_count = 2;
    a->site = SLICE_LIT("site");
    set(&a->filter, "sender", "s");
    set(&a->filter, "recipient", "r");
    set(&a->filter, "domain", "d");
    set(&a->filter, "reason", "why");
    set(&a->filter, "older-than", "1d");
    set(&a->filter, "newer-than", "2d");
    msg_init(&m, MESSAGE_QUEUE_EDIT);
    queue_request_encode(a, &m);
    assert_true(queue_request_decode(buf_slice(&m.body), b));
    assert_int_equal(b->queues, a->queues);
    assert_int_equal(b->task, a->task);
    assert_int_equal(b->flags, a->flags);
    assert_int_equal(b->id_count, 2);
    assert_true(b->ids[0] == 7 && b->ids[1] == UINT64_MAX);
    assert_true(slice_eq_text(b->site, "site"));
    assert_true(slice_eq_text(b->filter.sender, "s"));
    assert_true(slice_eq_text(b->filter.recipient, "r"));
    assert_true(slice_eq_text(b->filter.domain, "d"));
    assert_true(slice_eq_text(b->filter.reason, "why"));
    assert_true(b->filter.before_us == a->filter.before_us);
    assert_true(b->filter.after_us == a->filter.after_us);
    msg_fini(&m);
    mem_free(a);
    mem_free(b);
}

static void
test_destination(void **state)
{
    const struct queue_destination a = {
        .transport = SLICE_LIT("smtp"),
        .nexthop = SLICE_LIT("[a.example]:26"),
        .recipient = SLICE_LIT("x@y"),
        .health = SLICE_LIT("dead"),
        .hold = SLICE_LIT("dead"),
        .window = 1,
        .window_limit = 20,
        .running = 2,
        .idle_sessions = 3,
        .waiting_messages = 4,
        .waiting_recipients = 5,
        .deferred = 6,
        .rate_delay_ms = 7,
        .next_try_ms = 8,
        .next_due_ms = 9,
        .failures = 10,
        .status = SLICE_LIT("4.4.1"),
        .reason = SLICE_LIT("no"),
        .is_route = true,
    };
    struct queue_destination b;
    struct msg m, again;

    (void)state;
    queue_destination_encode(&a, &m);
    assert_true(queue_destination_decode(buf_slice(&m.body), &b));
    assert_true(b.is_route && b.deferred == 6 && b.failures == 10);
    assert_true(slice_eq(b.nexthop, a.nexthop) && slice_eq(b.reason, a.reason));
    queue_destination_encode(&b, &again);
    assert_true(slice_eq(buf_slice(&m.body), buf_slice(&again.body)));
    msg_fini(&m);
    msg_fini(&again);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_null_sender),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_destination),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
