#include "lookup/router.h"

#include "lib/base/log.h"
#include "lookup/transport.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define BASE                                        \
    "myhostname=mx.site.test\nmydomain=site.test\n" \
    "mydestination=site.test, mx.site.test\n"       \
    "virtual_alias_domains=alias.test\n"            \
    "virtual_mailbox_domains=box.test\n"            \
    "relay_domains=relay.test\n"                    \
    "inet_interfaces=127.0.0.1\n"                   \
    "inet_protocols=ipv4\nrecipient_delimiter=+\n"

#define MAPS(m) "transport_maps=inline:{" m "}\n"

static const struct {
    const char *name, *config, *recipient;
    const char *want; /* "class transport:nexthop address", or "temp", "perm" */
} cases[] = {
    { "local", "", "ann@site.test", "0 local:mx.site.test ann@site.test" },
    { "local, without domain", "", "ann",
        "0 local:mx.site.test ann@mx.site.test" },
    { "local, whatever mydestination", "mydestination=\n", "ann",
        "0 local:mx.site.test ann@mx.site.test" },
    { "alias domain", "", "ann@alias.test",
        "1 error:5.1.1 User unknown in virtual alias table ann@alias.test" },
    { "alias domain, no table name", "show_user_unknown_table_name=no\n",
        "ann@alias.test", "1 error:5.1.1 User unknown ann@alias.test" },
    { "mailbox domain", "", "ann@box.test", "2 virtual:box.test ann@box.test" },
    { "mailbox domain by LMTP",
        "virtual_transport=lmtp:unix:private/dovecot-lmtp\n", "ann@box.test",
        "2 lmtp:unix:private/dovecot-lmtp ann@box.test" },
    { "relay domain", "", "ann@relay.test",
        "3 relay:relay.test ann@relay.test" },
    { "relay subdomain", "", "ann@sub.relay.test",
        "3 relay:sub.relay.test ann@sub.relay.test" },
    { "default", "", "ann@Other.Test", "4 smtp:other.test ann@Other.Test" },
    { "default with next hop", "default_transport=smtp:[gate]:25\n",
        "ann@other.test", "4 smtp:[gate]:25 ann@other.test" },
    { "relayhost", "relayhost=[gate.test]:587\n", "ann@other.test",
        "4 smtp:[gate.test]:587 ann@other.test" },
    { "relayhost for relay domains", "relayhost=[gate.test]\n",
        "ann@relay.test", "3 relay:[gate.test] ann@relay.test" },
    { "relay_transport before relayhost",
        "relayhost=[gate.test]\nrelay_transport=relay:[in.test]\n",
        "ann@relay.test", "3 relay:[in.test] ann@relay.test" },
    { "relayhost not for local", "relayhost=[gate.test]\n", "ann@site.test",
        "0 local:mx.site.test ann@site.test" },
    { "own literal", "", "ann@[127.0.0.1]",
        "0 local:mx.site.test ann@[127.0.0.1]" },
    { "other literal", "", "ann@[192.0.2.7]",
        "4 smtp:[192.0.2.7] ann@[192.0.2.7]" },
    { "IPv6 literal", "", "ann@[IPv6:2001:db8::1]",
        "4 smtp:[ipv6:2001:db8::1] ann@[IPv6:2001:db8::1]" },
    { "final dot", "", "ann@site.test.", "0 local:mx.site.test ann@site.test" },
    { "empty", "", "", "0 local:mx.site.test MAILER-DAEMON@mx.site.test" },
    { "empty, renamed", "empty_address_recipient=void\n", "",
        "0 local:mx.site.test void@mx.site.test" },
    { "through us", "", "ann%other.test@site.test",
        "4 smtp:other.test ann@other.test" },
    { "through our literal", "", "ann%other.test@[127.0.0.1]",
        "4 smtp:other.test ann@other.test" },
    { "through us twice", "", "ann%other.test%site.test@site.test",
        "4 smtp:other.test ann@other.test" },
    { "through us by bang", "", "other.test!ann@site.test",
        "4 smtp:other.test ann@other.test" },
    { "through us in quotes", "", "ann@other.test@site.test",
        "4 smtp:other.test ann@other.test" },
    { "through us to us", "", "ann%site.test@site.test",
        "0 local:mx.site.test ann@site.test" },
    { "through others", "", "ann%site.test@other.test",
        "4 smtp:other.test ann%site.test@other.test" },
    { "no way through", "allow_percent_hack=no\n", "ann%other.test@site.test",
        "0 local:mx.site.test ann%other.test@site.test" },
    { "through us to nowhere", "", "ann%@site.test", "perm" },
    { "null domain", "", "ann@", "perm" },
    { "null domain allowed", "resolve_null_domain=yes\n", "ann@",
        "0 local:mx.site.test ann@mx.site.test" },
    { "null local part", "", "@other.test", "perm" },
    { "option", "", "-x@other.test", "perm" },
    { "option allowed", "allow_min_user=yes\n", "-x@other.test",
        "4 smtp:other.test -x@other.test" },
    { "numeric domain", "", "ann@192.0.2.7", "perm" },
    { "numeric domain allowed", "resolve_numeric_domain=yes\n", "ann@192.0.2.7",
        "4 smtp:[192.0.2.7] ann@[192.0.2.7]" },
    { "bad domain", "", "ann@-x..y", "perm" },
    { "bad domain stays bad", "resolve_numeric_domain=yes\n", "ann@-x..y",
        "perm" },

    { "map: address", MAPS("{ann@other.test=slow:[a]:25}"), "ann@other.test",
        "4 slow:[a]:25 ann@other.test" },
    { "map: case", MAPS("{ann@other.test=slow:[a]}"), "Ann@OTHER.test",
        "4 slow:[a] Ann@OTHER.test" },
    { "map: extension", MAPS("{ann@other.test=slow:[a]}"), "ann+x@other.test",
        "4 slow:[a] ann+x@other.test" },
    { "map: full address first",
        MAPS("{ann+x@other.test=b:[b]}, {ann@other.test=a:[a]}"),
        "ann+x@other.test", "4 b:[b] ann+x@other.test" },
    { "map: domain", MAPS("{other.test=slow:[a]}"), "ann@other.test",
        "4 slow:[a] ann@other.test" },
    { "map: address before domain",
        MAPS("{other.test=slow:[a]}, {ann@other.test=fast:[b]}"),
        "ann@other.test", "4 fast:[b] ann@other.test" },
    { "map: parent needs a dot", MAPS("{other.test=slow:[a]}"),
        "ann@sub.other.test", "4 smtp:sub.other.test ann@sub.other.test" },
    { "map: dot parent", MAPS("{.other.test=slow:[a]}"), "ann@x.sub.other.test",
        "4 slow:[a] ann@x.sub.other.test" },
    { "map: dot parent is not the domain", MAPS("{.other.test=slow:[a]}"),
        "ann@other.test", "4 smtp:other.test ann@other.test" },
    { "map: nearest parent", MAPS("{.test=a:[a]}, {.other.test=b:[b]}"),
        "ann@x.other.test", "4 b:[b] ann@x.other.test" },
    { "map: parent by parameter",
        "parent_domain_matches_subdomains=transport_maps\n" MAPS(
            "{other.test=slow:[a]}"),
        "ann@sub.other.test", "4 slow:[a] ann@sub.other.test" },
    { "map: wildcard", MAPS("{*=slow:[a]}"), "ann@other.test",
        "4 slow:[a] ann@other.test" },
    { "map: wildcard last", MAPS("{*=slow:[a]}, {.test=b:[b]}"),
        "ann@other.test", "4 b:[b] ann@other.test" },
    { "map: wildcard for local", MAPS("{*=slow:[a]}"), "ann@site.test",
        "0 slow:[a] ann@site.test" },
    { "map: nothing changes",
        "relayhost=[gate]\n" MAPS("{other.test=:}, {*=slow:[a]}"),
        "ann@other.test", "4 smtp:[gate] ann@other.test" },
    { "map: next hop alone", MAPS("{other.test=:[b]:26}"), "ann@other.test",
        "4 smtp:[b]:26 ann@other.test" },
    { "map: transport alone", "relayhost=[gate]\n" MAPS("{other.test=slow:}"),
        "ann@other.test", "4 slow:other.test ann@other.test" },
    { "map: transport without colon", MAPS("{other.test=slow}"),
        "ann@other.test", "4 slow:other.test ann@other.test" },
    { "map: error", MAPS("{other.test=error:5.7.1 not here}"), "ann@other.test",
        "4 error:5.7.1 not here ann@other.test" },
    { "map: error without text", MAPS("{other.test=error:}"), "ann@other.test",
        "4 error:Address is undeliverable ann@other.test" },
    { "map: retry", MAPS("{other.test=retry:4.0.0 later}"), "ann@other.test",
        "4 retry:4.0.0 later ann@other.test" },
    { "map: discard", MAPS("{other.test=discard:}"), "ann@other.test",
        "4 discard:other.test ann@other.test" },
    { "map: not for alias domains", MAPS("{*=slow:[a]}"), "ann@alias.test",
        "1 error:5.1.1 User unknown in virtual alias table ann@alias.test" },
    { "map: empty recipient", MAPS("{mailer-daemon@mx.site.test=slow:[a]}"), "",
        "0 slow:[a] MAILER-DAEMON@mx.site.test" },
    { "map fails", "transport_maps=fail:x\n", "ann@other.test", "temp" },
    { "class fails", "relay_domains=fail:x\n", "ann@other.test", "temp" },

    { "as mail: probe", "relayhost=[gate]\n" MAPS("{*=slow:[a]}"),
        "ann@other.test", "4 slow:[a] ann@other.test" },
    { "relayhost: probe", "relayhost=[gate]\naddress_verify_relayhost=\n",
        "ann@other.test", "4 smtp:other.test ann@other.test" },
    { "relayhost of probes", "address_verify_relayhost=[gate]\n",
        "ann@other.test", "4 smtp:other.test ann@other.test" },
    { "default_transport: probe", "address_verify_default_transport=t:[p]\n",
        "ann@other.test", "4 t:[p] ann@other.test" },
    { "relay_transport: probe", "address_verify_relay_transport=t\n",
        "ann@relay.test", "3 t:relay.test ann@relay.test" },
    { "virtual_transport: probe", "address_verify_virtual_transport=t:[p]\n",
        "ann@box.test", "2 t:[p] ann@box.test" },
    { "local_transport: probe", "address_verify_local_transport=t:[p]\n",
        "ann@site.test", "0 t:[p] ann@site.test" },
    { "transport_maps: probe",
        MAPS("{*=slow:[a]}") "address_verify_transport_maps=\n",
        "ann@other.test", "4 smtp:other.test ann@other.test" },
    { "transport_maps of probes",
        "address_verify_transport_maps=inline:{*=slow:[a]}\n", "ann@other.test",
        "4 smtp:other.test ann@other.test" },
    { "overrides of rewrite are obeyed", "relayhost=[gate]\n", "ann@other.test",
        "4 smtp:[over] ann@other.test" },
};

static void
quiet(void *context, enum log_level level, const char *tag, struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    (void)line;
}

static void
test_resolve(void **state)
{
    (void)state;
    log_set_sink(quiet, NULL, NULL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool over = strncmp(cases[i].name, "overrides", 9) == 0;
        static char text[4096], got[4096];
        struct config_set *set;
        struct router *router;
        static struct route route;
        struct why why = { 0 };
        enum result res;

        print_message("  %s\n", cases[i].name);
        snprintf(text, sizeof(text), "%s%s", BASE, cases[i].config);
        assert_int_equal(config_from_text(text,
                             over ? "rewrite unix - - n - - trivial-rewrite\n"
                                    "  -o relayhost=[over]\n"
                                  : "",
                             &set, &why),
            RESULT_OK);
        if (router_open(set, &router, &why) != RESULT_OK)
            fail_msg("%s", why.text);
        res = router_resolve(router,
            &(struct route_question){ SLICE_LIT("s@x"),
                slice_of(cases[i].recipient),
                slice_ends_nocase(slice_of(cases[i].name), SLICE_LIT("probe"))
                    ? ROUTE_OF_PROBE
                    : ROUTE_OF_MAIL },
            &route, &why);
        if (res == RESULT_OK)
            snprintf(got, sizeof(got), "%d %s:%s %s", route.class,
                route.transport, route.nexthop, route.address);
        else
            snprintf(got, sizeof(got), "%s",
                res == RESULT_TEMPFAIL ? "temp" : "perm");
        assert_string_equal(got, cases[i].want);
        if (res == RESULT_TEMPFAIL)
            assert_string_equal(why.text, "address resolver failure");
        if (res != RESULT_OK)
            assert_string_equal(why.status,
                res == RESULT_TEMPFAIL ? "4.3.0" : "5.1.3");
        router_drop(router);
        config_drop(set);
    }
    log_set_sink(NULL, NULL, NULL);
}

static void
test_null_transport(void **state)
{
    struct config_set *set;
    struct router *router;
    struct why why;

    (void)state;
    assert_int_equal(config_from_text("default_transport=:[gate]\n", "", &set,
                         &why),
        RESULT_OK);
    assert_int_equal(router_open(set, &router, &why), RESULT_PERMFAIL);
    assert_string_equal(why.text,
        "parameter default_transport: null transport is not allowed");
    config_drop(set);
}

static const struct {
    const char *text, *name, *nexthop;
} splits[] = {
    { "", "", "" },
    { ":", "", "" },
    { "smtp", "smtp", "" },
    { "smtp:", "smtp", "" },
    { ":[a]:25", "", "[a]:25" },
    { "smtp:[a]:25", "smtp", "[a]:25" },
    { "lmtp:inet:host:24", "lmtp", "inet:host:24" },
    { "lmtp:unix:/a b", "lmtp", "unix:/a b" },
    { "error: 5.7.1 no", "error", "5.7.1 no" },
};

static void
test_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(splits) / sizeof(splits[0]); i++) {
        struct transport t = transport_split(slice_of(splits[i].text));

        assert_true(slice_eq_text(t.name, splits[i].name));
        assert_true(slice_eq_text(t.nexthop, splits[i].nexthop));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_resolve),
        cmocka_unit_test(test_null_transport),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
