/*
 * A peer that breaks a rule of lib/ipc/protocol.h, octet by octet: its link is
 * dropped with a line that names it.
 */
#include "lib/ipc/frame.h"
#include "lib/ipc/link.h"
#include "tests/unit/link_ends.h"

#include <unistd.h>

static void
drop_request(struct request *r)
{
    ((struct end *)r->context)->served++;
    request_drop(r);
}

/*
 * A rogue: raw octets into the socket of a link to ROLE_QMGR. All are refused
 * with a line that names peer, message and rule.
 */
static const struct {
    const char *name;
    enum role peer;
    uint32_t length;
    uint16_t type, fds;
    uint32_t number;
    unsigned sent_fds;
    const char *log;
} rogues[] = {
    { "no such message", ROLE_SMTPD, 0, 9999, 0, 1, 0,
        "smtpd dropped: message 9999: no such message" },
    { "type none", ROLE_SMTPD, 0, MESSAGE_NONE, 0, 1, 0, "dropped: frame" },
    { "another's", ROLE_SMTP, 0, MESSAGE_SUBMIT, 0, 1, 0,
        "smtp dropped: SUBMIT: not its to send" },
    { "not for us", ROLE_SMTPD, 0, MESSAGE_RESOLVE, 0, 1, 0,
        "smtpd dropped: RESOLVE: not for us" },
    { "too long", ROLE_SMTPD, MESSAGE_ENVELOPE + 1, MESSAGE_SUBMIT, 0, 1, 0,
        "SUBMIT: too long" },
    { "longest", ROLE_SMTPD, UINT32_MAX, MESSAGE_LEASE, 0, 1, 0,
        "LEASE: too long" },
    { "no number", ROLE_SMTPD, 0, MESSAGE_LEASE, 0, 0, 0,
        "LEASE: request number" },
    { "a number", ROLE_SMTPD, 0, MESSAGE_RETURN_BLOB, 0, 7, 0,
        "RETURN_BLOB: request number" },
    { "answers nothing", ROLE_BOUNCE, 0, MESSAGE_NOTIFIED, 0, 7, 0,
        "bounce dropped: NOTIFIED: answers no request" },
    { "claims descriptors", ROLE_SMTPD, 0, MESSAGE_LEASE, 1, 1, 0,
        "LEASE: too many descriptors" },
    { "claims too many", ROLE_SMTPD, 0, MESSAGE_LEASE, UINT16_MAX, 1, 0,
        "LEASE: too many descriptors" },
    { "sends descriptors", ROLE_SMTPD, 0, MESSAGE_LEASE, 0, 1, 1,
        "descriptors that no frame claims" },
    { "sends many", ROLE_SMTPD, 0, MESSAGE_LEASE, 0, 1, 8,
        "descriptors that no frame claims" },
    { "not served", ROLE_SMTPD, 0, MESSAGE_SUBMIT, 0, 1, 0,
        "SUBMIT: not served here" },
};

static void
send_raw(int fd, uint32_t length, uint16_t type, uint16_t fds, uint32_t number,
    unsigned sent_fds)
{
    struct frame f = { length, type, fds, number };
    char head[FRAME_HEAD];
    int sent[SOCK_FDS_MAX];

    frame_encode(&f, head);
    for (unsigned i = 0; i < sent_fds; i++)
        sent[i] = STDIN_FILENO;
    CHECK(sock_send_fds(fd, (struct slice){ head, sizeof(head) }, sent,
              sent_fds) == sizeof(head));
}

static void
rogue_fiber(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof(rogues) / sizeof(rogues[0]); i++) {
        struct end us;
        int fds[2];
        char octet;

        logged[0] = '\0';
        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_QMGR, rogues[i].peer, lease_inline);
        send_raw(fds[1], rogues[i].length, rogues[i].type, rogues[i].fds,
            rogues[i].number, rogues[i].sent_fds);
        settle();
        if (us.gone != 1 || strstr(logged, rogues[i].log) == NULL)
            print_message("  %s: %s\n", rogues[i].name, logged);
        CHECK(us.gone == 1);
        CHECK(strstr(logged, rogues[i].log) != NULL);
        while (read(fds[1], &octet, 1) == 1) /* an answer before the end */
            ;
        CHECK(read(fds[1], &octet, 1) == 0);
        close(fds[1]);
    }
}

static void
test_rogue(void **state)
{
    (void)state;
    run(rogue_fiber, NULL);
}

/* What came along with a broken rule is not served: there is nobody any more. */
static void
broken_at_once_fiber(void *arg)
{
    struct end us;
    int fds[2];

    (void)arg;
    CHECK(sock_pair(fds) == 0);
    open_end(&us, fds[0], ROLE_QMGR, ROLE_SMTPD, lease_fiber);
    send_raw(fds[1], 0, MESSAGE_LEASE, 0, 1, 0);
    send_raw(fds[1], 0, MESSAGE_LEASE, 0, 2, 0);
    send_raw(fds[1], 0, MESSAGE_LEASE, 0, 0, 0);
    settle();
    CHECK(us.gone == 1 && us.served == 0);
    close(fds[1]);
}

static void
test_broken_at_once(void **state)
{
    (void)state;
    run(broken_at_once_fiber, NULL);
}

/* Answers of the wrong kind to a request that is under way. */
static void
wrong_answer_fiber(void *arg)
{
    static const struct {
        uint16_t type;
        uint32_t number;
        const char *log;
    } wrong[] = {
        { MESSAGE_SUBMITTED, 1, "SUBMITTED: answers another kind" },
        { MESSAGE_LEASED, 2, "LEASED: answers no request" },
        { MESSAGE_LEASED, UINT32_MAX, "LEASED: answers no request" },
    };

    (void)arg;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct end us;
        struct msg m;
        int fds[2], null = 0;

        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
        put_count(&m, MESSAGE_LEASE, 1); /* its number is 1 */
        link_ask(us.link, &m, note_null, &null);
        settle();
        send_raw(fds[1], 0, wrong[i].type, 0, wrong[i].number, 0);
        settle();
        CHECK(us.gone == 1 && null == 1);
        CHECK(strstr(logged, wrong[i].log) != NULL);
        close(fds[1]);
    }
    {
        /* An item where no stream was asked for. */
        struct end us;
        struct msg m;
        int fds[2], null = 0;

        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_COMMAND, ROLE_QMGR, NULL);
        msg_init(&m, MESSAGE_QUEUE_FLUSH);
        link_ask(us.link, &m, note_null, &null);
        settle();
        send_raw(fds[1], 0, MESSAGE_QUEUE_ITEM, 0, 1, 0);
        settle();
        CHECK(us.gone == 1 && null == 1);
        close(fds[1]);
    }
    {
        /* A second answer to the same request. */
        struct end us;
        struct waiting_call w = { .a = &us };
        int fds[2];

        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_SMTPD, ROLE_QMGR, NULL);
        CHECK(fiber_spawn("call", waiting_call_fiber, &w) != NULL);
        settle();
        send_raw(fds[1], 0, MESSAGE_LEASED, 0, 1, 0);
        settle();
        CHECK(w.done && w.status == LINK_OK && us.gone == 0);
        send_raw(fds[1], 0, MESSAGE_LEASED, 0, 1, 0);
        settle();
        CHECK(us.gone == 1);
        close(fds[1]);
    }
}

static void
test_wrong_answer(void **state)
{
    (void)state;
    run(wrong_answer_fiber, NULL);
}

/* Cut off at each octet: no message, no line, the link simply ends. */
static void
truncated_fiber(void *arg)
{
    struct frame f = { 5, MESSAGE_LEASE, 0, 1 };
    char octets[FRAME_HEAD + 5] = { 0 };

    (void)arg;
    frame_encode(&f, octets);
    for (size_t n = 0; n < sizeof(octets); n++) {
        struct end us;
        int fds[2];

        CHECK(sock_pair(fds) == 0);
        open_end(&us, fds[0], ROLE_QMGR, ROLE_SMTPD, lease_inline);
        for (size_t i = 0; i < n; i++) {
            CHECK(write(fds[1], octets + i, 1) == 1);
            fiber_yield();
        }
        CHECK(us.gone == 0);
        close(fds[1]);
        settle();
        CHECK(us.gone == 1 && us.served == 0);
    }
    CHECK(logged[0] == '\0');
}

static void
test_truncated(void **state)
{
    (void)state;
    run(truncated_fiber, NULL);
}

/*
 * Every role sends every type to every role: what the table of protocol.h does
 * not grant drops the link with a line that names both.
 */
static void
matrix_fiber(void *arg)
{
    struct link_handler all[MESSAGE_COUNT];
    unsigned n = 0;

    (void)arg;
    for (unsigned t = 1; t < MESSAGE_COUNT; t++) {
        enum message_kind kind = message_rule(t)->kind;

        if (kind != KIND_ANSWER && kind != KIND_ITEM)
            all[n++] = (struct link_handler){ (enum message)t, drop_request,
                SERVE_INLINE };
    }
    all[n] = (struct link_handler){ MESSAGE_NONE, NULL, SERVE_INLINE };

    for (unsigned from = 0; from < ROLE_COUNT; from++)
        for (unsigned to = 0; to < ROLE_COUNT; to++)
            for (unsigned t = 1; t < MESSAGE_COUNT + 1; t++) {
                const struct message_rule *rule = message_rule(t);
                bool legal = rule != NULL && (rule->from & (1U << from)) &&
                    (rule->to & (1U << to)) && rule->kind != KIND_ANSWER &&
                    rule->kind != KIND_ITEM;
                uint32_t number = rule != NULL && rule->kind == KIND_ONE_WAY
                    ? 0
                    : 1;
                char want[100], text[FRAME_NAME_MAX];
                struct end us;
                int fds[2];

                logged[0] = '\0';
                CHECK(sock_pair(fds) == 0);
                open_end(&us, fds[0], (enum role)to, (enum role)from, all);
                send_raw(fds[1], 0, (uint16_t)t, 0, number, 0);
                for (int i = 0; i < 6; i++)
                    fiber_yield();
                snprintf(want, sizeof(want),
                    "link to %s dropped: %s: ", role_name((enum role)from),
                    frame_name(t, text));
                CHECK(us.gone == !legal);
                CHECK(us.served == legal);
                CHECK(legal ? logged[0] == '\0' : strstr(logged, want) != NULL);
                link_close(us.link);
                close(fds[1]);
                fiber_yield();
            }
}

static void
test_matrix(void **state)
{
    (void)state;
    run(matrix_fiber, NULL);
}

static bool
never(void *context, enum message type)
{
    (void)context;
    return type != MESSAGE_LEASE;
}

static void
gate_fiber(void *arg)
{
    struct end us = { .gone = 0 };
    struct link_options options = {
        .self = ROLE_QMGR,
        .peer = ROLE_SMTPD,
        .peer_name = "smtpd 3",
        .handlers = lease_inline,
        .context = &us,
        .on_gone = count_gone,
        .may = never,
    };
    int fds[2];

    (void)arg;
    CHECK(sock_pair(fds) == 0);
    us.link = link_open(fds[0], &options);
    send_raw(fds[1], 0, MESSAGE_LEASE, 0, 1, 0);
    settle();
    CHECK(us.gone == 1 && us.served == 0);
    CHECK(strstr(logged, "smtpd 3 dropped: LEASE: not in this state"));
    close(fds[1]);
}

static void
test_gate(void **state)
{
    (void)state;
    run(gate_fiber, NULL);
}

/* No descriptor may be left behind. */
static void
test_no_leak(void **state)
{
    int before = count_fds();

    (void)state;
    run(rogue_fiber, NULL);
    run(truncated_fiber, NULL);
    assert_int_equal(count_fds(), before);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rogue),
        cmocka_unit_test(test_broken_at_once),
        cmocka_unit_test(test_wrong_answer),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_no_leak),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
