#include "master/addresses.h"

#include "lib/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* What one service listens on, as "address port" in the order found. */
static const struct {
    const char *name, *interfaces, *protocols, *service, *want;
} cases[] = {
    { "wildcards", "all", "all", "2525", "0.0.0.0 2525, :: 2525" },
    { "wildcard 4", "all", "ipv4", "2525", "0.0.0.0 2525" },
    { "wildcard 6", "all", "ipv6", "2525", ":: 2525" },
    { "both named", "all", "ipv4, ipv6", "2525", "0.0.0.0 2525, :: 2525" },
    { "by name", "all", "ipv4", "smtp", "0.0.0.0 25" },
    { "interfaces", "127.0.0.1 127.0.0.2", "all", "2525",
        "127.0.0.1 2525, 127.0.0.2 2525" },
    { "brackets", "[127.0.0.1], [::1]", "all", "2525",
        "127.0.0.1 2525, ::1 2525" },
    { "doubles", "127.0.0.1, 127.0.0.1", "all", "2525", "127.0.0.1 2525" },
    { "loopback", "loopback-only", "ipv4", "2525", "127.0.0.1 2525" },
    { "own host", "192.0.2.1", "all", "127.0.0.3:2525", "127.0.0.3 2525" },
    { "own host 6", "127.0.0.1", "all", "[::1]:2525", "::1 2525" },
    { "bare 6", "127.0.0.1", "all", "::1:2525", "::1 2525" },
    { "host name", "127.0.0.1", "ipv4", "localhost:2525", "127.0.0.1 2525" },
    { "colon port", "127.0.0.1", "all", ":2525", "127.0.0.1 2525" },

    { "no port", "all", "all", "no-such-service", NULL },
    { "port 65536", "all", "all", "65536", NULL },
    { "port 0", "all", "all", "0", NULL },
    { "empty port", "all", "all", "127.0.0.1:", NULL },
    { "no host", "all", "all", "no-such-host.invalid:25", NULL },
    { "protocol", "all", "ipv5", "2525", NULL },
    { "no protocol", "all", "", "2525", NULL },
    { "no interface", "", "all", "2525", NULL },
    { "interface of the other kind", "127.0.0.1", "ipv6", "2525", NULL },
};

static void
describe(const struct addresses *found, char *text, size_t size)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < found->count; i++) {
        char address[SOCK_TEXT_MAX];
        int n = snprintf(text + used, size - used, "%s%s %u",
            i == 0 ? "" : ", ", sock_addr_text(&found->list[i], address),
            (unsigned)sock_addr_port(&found->list[i]));

        assert_true(n > 0 && (size_t)n < size - used);
        used += (size_t)n;
    }
}

static void
test_find(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct addresses *found = mem_alloc(sizeof(*found));
        char main_cf[400], master_cf[200], text[1000];
        struct config_set *set;
        struct why why;
        enum result res;

        print_message("  %s\n", cases[i].name);
        snprintf(main_cf, sizeof(main_cf),
            "inet_interfaces = %s\ninet_protocols = %s\n", cases[i].interfaces,
            cases[i].protocols);
        snprintf(master_cf, sizeof(master_cf), "%s inet n - n - - smtpd\n",
            cases[i].service);
        if (config_from_text(main_cf, master_cf, &set, &why) != RESULT_OK) {
            assert_null(cases[i].want); /* lib/config refuses it already */
            mem_free(found);
            continue;
        }
        why.text[0] = '\0';
        res = addresses_find(config_service(set, 0), found, &why);
        if (cases[i].want == NULL) {
            assert_int_not_equal(res, RESULT_OK);
            assert_true(why.text[0] != '\0');
        } else {
            assert_int_equal(res, RESULT_OK);
            describe(found, text, sizeof(text));
            assert_string_equal(text, cases[i].want);
        }
        config_drop(set);
        mem_free(found);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
