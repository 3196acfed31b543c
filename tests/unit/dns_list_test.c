#include "lib/dns/dns_list.h"

#include <setjmp.h>
#include <stdarg.h>
/* clang-format off */
#include <cmocka.h>
/* clang-format on */

static void
test_patterns(void **state)
{
    static const struct {
        const char *text, *address;
        enum result parsed;
        bool matches;
    } cases[] = {
        { "x.test", "127.0.0.2", RESULT_OK, true },
        { "x.test", "::1", RESULT_OK, false },
        { "x.test=127.0.0.2", "127.0.0.2", RESULT_OK, true },
        { "x.test=127.0.0.2", "127.0.0.3", RESULT_OK, false },
        { "x.test=127.0.[0..255].[1;3..5;9]", "127.0.77.4", RESULT_OK, true },
        { "x.test=127.0.[0..255].[1;3..5;9]", "127.0.77.6", RESULT_OK, false },
        { "x.test=[127].0.0.0..9", "127.0.0.9", RESULT_PERMFAIL, false },
        { "x.test=127.0.0", "", RESULT_PERMFAIL, false },
        { "x.test=127.0.0.1.2", "", RESULT_PERMFAIL, false },
        { "x.test=127.0.0.256", "", RESULT_PERMFAIL, false },
        { "x.test=127.0.0.[5..2]", "", RESULT_PERMFAIL, false },
        { "x.test=127.0.0.[1;]", "", RESULT_PERMFAIL, false },
        { "x.test=127.0.0.[1", "", RESULT_PERMFAIL, false },
        { "x.test=", "", RESULT_PERMFAIL, false },
        { "=127.0.0.1", "", RESULT_PERMFAIL, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct dns_list list;
        struct sock_addr addr;
        struct why why;

        print_message("  %s\n", cases[i].text);
        assert_int_equal(dns_list_parse(slice_of(cases[i].text), &list, &why),
            cases[i].parsed);
        if (cases[i].parsed != RESULT_OK)
            continue;
        assert_true(sock_addr_parse(slice_of(cases[i].address), 0, &addr));
        assert_int_equal(dns_list_matches(&list, &addr), cases[i].matches);
    }
}

static void
test_names(void **state)
{
    static const struct {
        const char *address, *name;
    } cases[] = {
        { "192.0.2.1", "1.2.0.192.x.test" },
        { "2001:db8::1",
            "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."
            "x.test" },
        { "unknown", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf name;

        buf_init(&name, 253);
        assert_int_equal(dns_list_name_of_address(slice_of(cases[i].address),
                             SLICE_LIT("x.test"), &name),
            cases[i].name != NULL);
        if (cases[i].name != NULL)
            assert_string_equal(buf_text(&name), cases[i].name);
        buf_fini(&name);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
