/*
 * A delivery is under way when something happens to the SMTP client: a stop, or
 * the end of its queue manager.
 */
#include "tests/unit/smtp_agent.h"

static struct fiber *
open_link_and_server(void)
{
    open_link();
    return fiber_spawn("server", serve, &servers.all[0]);
}

/*
 * A delivery is under way when something happens to the process: its server
 * waits for us, or we for it.
 */
enum interruption { CANCEL, LOSE_QMGR };

static const struct {
    const char *name, *script;
    enum interruption what;
    bool sent; /* the dot was, so the result stands */
} interruptions[] = {
    { "stopped at MAIL", HELLO "< MAIL\nmeet\nhang\n", CANCEL },
    { "stopped before the greeting", "meet\nhang\n", CANCEL },
    { "qmgr lost at RCPT",
        HELLO MAIL "< RCPT\nmeet\n> 250 ok\n< DATA\n> 354 go\nhang\n",
        LOSE_QMGR },
    { "qmgr lost after the dot",
        HELLO MAIL RCPT("a@x") "< DATA\n> 354 go\n~\nmeet\n> 250 ok\n",
        LOSE_QMGR, true },
};

static enum interruption interruption;

/* The script's "meet": now. */
static void
interrupt(void)
{
    if (interruption == CANCEL) {
        list_foreach (it, &t.client.jobs)
            fiber_cancel(LIST_ENTRY(it, struct job, node)->fiber);
    } else {
        link_close(t.qmgr);
        t.qmgr = NULL;
        /* Our end of the link learns of it by reading. */
        while (!list_empty(&t.client.jobs) &&
            !job_is_orphan(LIST_ENTRY(t.client.jobs.next, struct job, node)))
            fiber_sleep_until(clock_now_ms() + 1);
    }
}

static void
run_interrupted(void *arg)
{
    struct delivery d = {
        .attempt = { .id = 0x12345, .nonce = 7, .number = 1 },
        .transport = SLICE_LIT("smtp"),
        .header = SLICE_LIT("Subject: t\r\n"),
        .fd = -1,
    };
    struct delivery_answer answer;
    struct arena arena;
    struct buf nexthop;
    struct msg m;
    struct msg_in *in = NULL;
    struct why why;
    struct fiber *server = open_link_and_server();
    enum link_status status;

    (void)arg;
    buf_init(&nexthop, 256);
    expand("[#]%", &nexthop);
    d.nexthop = buf_slice(&nexthop);
    d.envelope.id = d.attempt.id;
    d.envelope.sender = SLICE_LIT("s@client.test");
    add_recipients("a@x", &d);
    delivery_encode(&d, &m);
    arena_init(&arena, 1 << 20);
    status = link_call(t.qmgr, &m, soon(), &in);
    if (interruption == LOSE_QMGR) {
        if (status != LINK_GONE)
            failure("qmgr got an answer");
    } else if (status != LINK_OK) {
        failure("no answer");
    } else if (delivery_answer_decode(in->body, &arena, &answer, &why) !=
        RESULT_OK) {
        failure("answer: %s", why.text);
    } else if (answer.count != 0 || answer.destination != DESTINATION_OK) {
        failure("%zu results, destination %d", answer.count,
            answer.destination);
    }
    if (status == LINK_OK)
        msg_in_free(in);
    while (t.client.job_count > 0 || idle_leaving(t.client.idle) > 0)
        fiber_sleep_until(clock_now_ms() + 1);
    arena_clear(&arena);
    buf_fini(&nexthop);
    fiber_cancel(server);
    link_close(t.qmgr);
    link_close(t.agent);
}

static void
test_interruptions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(interruptions) / sizeof(interruptions[0]);
         i++) {
        const char *const scripts[SERVERS] = { interruptions[i].script };

        print_message("  %s\n", interruptions[i].name);
        interruption = interruptions[i].what;
        begin(scripts, "");
        servers.meet = interrupt;
        run_in_sched(run_interrupted, NULL);
        if (failed[0] != '\0')
            fail_msg("%s\n%s", failed, logged);
        if (interruptions[i].sent != (strstr(logged, "status=sent") != NULL))
            fail_msg("log: %s", logged);
        end();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interruptions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
