/*
 * A configuration on its way to another process: facts of the host, all values.
 */
#include "lib/base/buf.h"
#include "lib/config/config.h"
#include "lib/config/parameter.h"
#include "lib/config/set.h"
#include "tests/unit/config_services.h"

/* A snapshot with facts of a host that is not this one. */
static struct config_set *
decode_with_facts(const char *main_cf, const char *hostname,
    const char *interfaces)
{
    struct config_set *set = set_new("/x"), *made = NULL;
    struct report report = { 0 };
    struct buf octets;
    struct why why;

    main_parse(set, slice_of(main_cf), &report);
    fact_put(set, "hostname", slice_of(hostname));
    fact_put(set, "interfaces", slice_of(interfaces));
    fact_put(set, "host:10.1.2.3", SLICE_LIT("10.1.2.3/32"));
    fact_put(set, "file:/etc/mailname", SLICE_LIT("from.file"));
    fact_put(set, "program", SLICE_LIT("/opt/p/libexec/postern/master"));
    buf_init(&octets, 1 << 20);
    config_encode(set, &octets);
    set_free(set);
    assert_int_equal(config_decode(buf_slice(&octets), &made, &why), RESULT_OK);
    buf_fini(&octets);
    return made;
}

static const struct {
    const char *main_cf, *hostname, *name, *want;
} hosts[] = {
    { "", "mx", "myhostname", "mx.localdomain" },
    { "", "mx.example.org", "myhostname", "mx.example.org" },
    { "mydomain = b.c\n", "mx", "myhostname", "mx.b.c" },
    { "myhostname = one\n", "mx", "mydomain", "localdomain" },
    { "myhostname = a.b.c\n", "mx", "mydomain", "b.c" },
    { "mynetworks_style = host\n", "mx", "mynetworks",
        "127.0.0.1/32 10.1.2.3/32 10.1.2.4/32 [::1]/128 [fd00::5]/128" },
    { "mynetworks_style = subnet\n", "mx", "mynetworks",
        "127.0.0.0/8 10.1.2.0/23 [::1]/128 [fd00::]/64" },
    { "mynetworks_style = class\n", "mx", "mynetworks",
        "127.0.0.0/8 10.0.0.0/8 [::1]/128 [fd00::]/64" },
    { "mynetworks_style = subnet\ninet_protocols = ipv4\n", "mx", "mynetworks",
        "127.0.0.0/8 10.1.2.0/23" },
    { "mynetworks_style = host\ninet_interfaces = loopback-only\n", "mx",
        "mynetworks", "127.0.0.1/32 [::1]/128" },
    { "mynetworks_style = subnet\ninet_interfaces = 10.1.2.3\n", "mx",
        "mynetworks", "10.1.2.0/23" },
    { "mynetworks = 192.0.2.0/24\n", "mx", "mynetworks", "192.0.2.0/24" },
    { "myorigin = /etc/mailname\n", "mx", "myorigin", "from.file" },
    { "", "mx", "daemon_directory", "/opt/p/libexec/postern" },
    { "", "mx", "command_directory", "/opt/p/sbin" },
    { "config_directory = /y\n", "mx", "config_directory", "/x" },
};

static void
test_hosts(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct config_set *set = decode_with_facts(hosts[i].main_cf,
            hosts[i].hostname,
            "127.0.0.1/8 10.1.2.3/23 10.1.2.4/23 ::1/128 fd00::5/64");

        print_message("  %s %s\n", hosts[i].main_cf, hosts[i].name);
        assert_string_equal(config_get(config_main(set), hosts[i].name),
            hosts[i].want);
        config_drop(set);
    }
}

/* Every value of every service is the same on the other side. */
static void
test_round_trip(void **state)
{
    struct config_set *one = load_services(), *two;
    struct buf a, b;
    struct why why;

    (void)state;
    buf_init(&a, 1 << 20);
    buf_init(&b, 1 << 20);
    config_encode(one, &a);
    assert_int_equal(config_decode(buf_slice(&a), &two, &why), RESULT_OK);
    assert_int_equal(config_service_count(two), config_service_count(one));
    for (size_t n = 0; n <= config_service_count(one); n++) {
        bool main = n == config_service_count(one);
        const struct config *x = main ? config_main(one)
                                      : config_service(one, n)->config;
        const struct config *y = main ? config_main(two)
                                      : config_service(two, n)->config;

        for (size_t i = 0; i < parameter_count(); i++)
            assert_string_equal(config_get(x, parameter_at(i)->name),
                config_get(y, parameter_at(i)->name));
        assert_int_equal(x->smtpd_timeout, y->smtpd_timeout);
        assert_int_equal(x->swap_bangpath, y->swap_bangpath);
        assert_string_equal(config_get(x, "mua_restrictions"),
            config_get(y, "mua_restrictions"));
        if (!main)
            assert_string_equal(config_service(one, n)->log_tag,
                config_service(two, n)->log_tag);
    }
    assert_string_equal(config_service(two, 7)->argv[5], "a  $b");
    config_encode(two, &b);
    assert_int_equal(a.len, b.len);
    config_drop(one);
    config_drop(two);

    /* Cut anywhere but between two attributes it is refused. */
    for (size_t len = 0; len < a.len; len++) {
        struct slice head = slice_head(buf_slice(&a), len);

        if (config_decode(head, &two, &why) == RESULT_OK)
            config_drop(two);
        else
            assert_true(why.text[0] != '\0');
    }
    a.ptr[2]++; /* the version */
    assert_int_equal(config_decode(buf_slice(&a), &two, &why), RESULT_PERMFAIL);
    buf_fini(&a);
    buf_fini(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
