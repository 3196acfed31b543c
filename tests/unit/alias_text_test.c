#include "local/alias.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static const struct {
    const char *in;
    const char *want[4];
} cases[] = {
    { "bob", { "bob" } },
    { "bob, ann@example.org", { "bob", "ann@example.org" } },
    { " , a ,, b , ", { "a", "b" } },
    { "\\root, bob", { "\\root", "bob" } },
    { "\"|/bin/prog a, b\", c", { "|/bin/prog a, b", "c" } },
    { "\"a b\"@example.org", { "a b@example.org" } },
    { "\"a\\\"b\"@example.org", { "a\"b@example.org" } },
    { "Bob <bob@example.org>", { "Bob <bob@example.org>" } },
    { "\"open", { "open" } },
    { "", { NULL } },
};

static void
test_next(void **state)
{
    struct buf one;

    (void)state;
    buf_init(&one, 256);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct slice rest = slice_of(cases[i].in);
        size_t n = 0;

        for (; alias_next(&rest, &one); n++) {
            assert_non_null(cases[i].want[n]);
            assert_string_equal(buf_text(&one), cases[i].want[n]);
        }
        assert_null(cases[i].want[n]);
    }
    buf_fini(&one);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
