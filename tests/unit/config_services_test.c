/*
 * master.cf: services, their overrides, what is folded, what transports inherit.
 */
#include "tests/unit/config_services.h"

#include "lib/config/config.h"

#include <string.h>

static void
test_services(void **state)
{
    struct config_set *set = load_services();
    const struct service *s;

    (void)state;
    assert_int_equal(config_service_count(set), 9);
    s = config_find_service(set, "smtp", "inet");
    assert_non_null(s);
    assert_int_equal(s->index, 0);
    assert_string_equal(s->program, "smtpd");
    assert_string_equal(s->log_tag, "postern/smtpd");
    assert_false(s->private);
    assert_true(s->unpriv);
    assert_false(s->chroot);
    assert_int_equal(s->wakeup, 0);
    assert_int_equal(s->maxproc, 17);
    assert_string_equal(s->argv[0], "smtpd");
    assert_null(s->argv[1]);
    assert_null(config_find_service(set, "smtp", "unix"));

    s = config_service(set, 1);
    assert_string_equal(s->name, "127.0.0.1:2525");
    assert_int_equal(s->maxproc, 5);
    assert_int_equal(s->verbose, 2);
    assert_string_equal(s->log_tag, "x/smtpd");
    assert_string_equal(s->config->smtpd_banner, "hello  world");
    assert_true(s->config->smtpd_helo_required);
    /* A class of main.cf sees the overrides of the line. */
    assert_string_equal(s->config->smtpd_client_restrictions,
        "yes example.org");
    assert_string_equal(config_get(s->config, "mua_restrictions"),
        "yes example.org");
    assert_string_equal(config_get(config_main(set), "mua_restrictions"),
        "no example.org");
    assert_null(config_get(s->config, "nosuch"));
    assert_null(s->argv[1]);

    s = config_find_service(set, "pickup", NULL);
    assert_int_equal(s->wakeup, 60000);
    assert_false(s->wakeup_if_used);
    s = config_find_service(set, "flush", NULL);
    assert_int_equal(s->wakeup, 1000000);
    assert_true(s->wakeup_if_used);
    assert_int_equal(s->maxproc, 0);

    s = config_find_service(set, "slow", "unix");
    assert_true(s->private);
    assert_false(s->unpriv);
    assert_string_equal(s->config->smtp_helo_name, "slow.example.org");
    assert_string_equal(config_main(set)->smtp_helo_name, "mx.example.org");

    s = config_find_service(set, "maildrop", "unix");
    assert_string_equal(s->argv[0], "pipe");
    assert_string_equal(s->argv[3], "argv=/bin/x");
    assert_string_equal(s->argv[5], "a  $b");
    assert_string_equal(s->argv[6], "-o");
    assert_null(s->argv[8]);
    assert_string_equal(s->config->mydestination,
        "q, localhost.localdomain, localhost");
    config_drop(set);
}

static void
test_folded(void **state)
{
    struct config_set *set = load_services();

    (void)state;
    assert_int_equal(config_of_service(set, "cleanup")->header_size_limit, 7);
    assert_int_equal(config_of_service(set, "rewrite")->header_size_limit,
        102400);
    assert_ptr_equal(config_of_service(set, "nosuch"), config_main(set));
    assert_string_equal(config_tag_of_service(set, "cleanup", "cleanup"),
        "postern/cleanup");
    assert_string_equal(config_tag_of_service(set, "bounce", "bounce"),
        "postern/bounce");
    config_drop(set);

    /* A listener of the same name is not meant. */
    set = load("",
        "bounce inet n - n - - smtpd -o myhostname=a\n"
        "bounce unix - - n - - bounce -o myhostname=b\n");
    assert_string_equal(config_of_service(set, "bounce")->myhostname, "b");
    config_drop(set);
}

static void
test_lmtp(void **state)
{
    struct config_set *set = load_services();
    const struct config *c = config_of_service(set, "lmtp");

    (void)state;
    assert_string_equal(c->smtp_helo_name, "lhlo.example");
    assert_int_equal(c->smtp_connect_timeout, 7000);
    assert_int_equal(config_main(set)->smtp_connect_timeout, 30000);
    assert_string_equal(c->smtp_tcp_port, "24");
    assert_string_equal(config_get(c, "smtp_tcp_port"), "24");
    config_drop(set);
}

/* What master.cf and main.cf make of a parameter of one transport. */
static const struct {
    const char *transport, *suffix;
    int64_t number; /* -1: none of that name */
} numbers[] = {
    { "slow", "destination_concurrency_limit", 3 },
    { "local", "destination_concurrency_limit", 2 },
    { "maildrop", "destination_concurrency_limit", 20 },
    { "local", "destination_recipient_limit", 1 },
    { "slow", "destination_recipient_limit", 11 },
    { "slow", "nosuch", -1 },
}, times[] = {
    /* The scheduler's line has the last word. */
    { "slow", "destination_rate_delay", 2000 },
    { "local", "destination_rate_delay", 500 * 1000 },
    { "maildrop", "time_limit", 1000 * 1000 },
};

static void
test_transports(void **state)
{
    struct config_set *set = load_services();

    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        print_message("  %s_%s\n", numbers[i].transport, numbers[i].suffix);
        assert_int_equal(config_transport_number(set, numbers[i].transport,
                             numbers[i].suffix, -1),
            numbers[i].number);
    }
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        print_message("  %s_%s\n", times[i].transport, times[i].suffix);
        assert_int_equal(config_transport_time(set, times[i].transport,
                             times[i].suffix, -1),
            times[i].number);
    }
    assert_string_equal(config_transport_text(set, "slow",
                            "destination_concurrency_positive_feedback", "x"),
        "1");
    assert_string_equal(config_transport_text(set, "slow", "nosuch", "x"), "x");
    config_drop(set);
}

static const struct {
    const char *line, *error;
} bad_masters[] = {
    { "x", "line 1: missing \"type\" field" },
    { "x unix - - - - - \n", "missing \"command\" field" },
    { "x foo - - - - - smtp", "bad \"type\" field: \"foo\"" },
    { "x unix z - - - - smtp", "bad \"private\" field" },
    { "x unix - yes - - - smtp", "bad \"unprivileged\" field" },
    { "x unix - - - 1x - smtp", "bad \"wakeup\" field" },
    { "x unix - - - ? - smtp", "bad \"wakeup\" field" },
    { "x unix - - - - -1 smtp", "bad \"process_limit\" field" },
    { "x unix - - - - 99999999999 smtp", "bad \"process_limit\" field" },
    { "x unix - - - - - {smtp}", "bad \"command\" field" },
    { "x unix - - - - - smtp -o", "-o needs name=value" },
    { "x unix - - - - - smtp -o a", "-o needs name=value" },
    { "x unix - - - - - smtp -o {a b=c}", "-o needs name=value" },
    { "x unix - - - - - smtp -o =c", "-o needs name=value" },
    { "x unix - - - - - smtp -o {a=b}c", "bad braces" },
    { "x unix - - - - - smtp -o {a=b", "bad braces" },
    { "x unix - - - - - smtp -z", "unknown option \"-z\"" },
};

static void
test_bad_masters(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_masters) / sizeof(bad_masters[0]); i++) {
        struct config_set *set;
        struct why why = { 0 };

        print_message("  %s\n", bad_masters[i].line);
        assert_int_equal(config_from_text("", bad_masters[i].line, &set, &why),
            RESULT_PERMFAIL);
        if (strstr(why.text, bad_masters[i].error) == NULL)
            fail_msg("%s", why.text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_folded),
        cmocka_unit_test(test_lmtp),
        cmocka_unit_test(test_transports),
        cmocka_unit_test(test_bad_masters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
