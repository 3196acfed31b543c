#include "lib/mail/header.h"

#include "lib/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { TOKENS = 1000 };

static const struct {
    const char *in;
    /* internal=raw, in order */
    const char *want[6];
} lists[] = {
    { "ann@example.org", { "ann@example.org=ann@example.org" } },
    { "a@b, c@d", { "a@b=a@b", "c@d=c@d" } },
    { "Ann Smith <ann@x>", { "ann@x=ann@x" } },
    { "\"Smith, Ann\" <ann@x>, b", { "ann@x=ann@x", "b=b" } },
    { "Ann J. Smith <ann@x> (work), b@c", { "ann@x=ann@x", "b@c=b@c" } },
    { "ann@x (Ann (the one) Smith)", { "ann@x=ann@x" } },
    { "(only a comment)", { NULL } },
    { "ann @ x . example", { "ann@x.example=ann @ x . example" } },
    { "\"a b\"@x", { "a b@x=\"a b\"@x" } },
    { "\"a\\\"b\"@x", { "a\"b@x=\"a\\\"b\"@x" } },
    { "a\\ b@x", { "a b@x=a\\ b@x" } },
    { "<@r1,@r2:a@b>", { "a@b=a@b" } },
    { "<>", { "=" } },
    { "Name <>", { "=" } },
    { "group: a@b, c@d; e@f", { "a@b=a@b", "c@d=c@d", "e@f=e@f" } },
    { "undisclosed-recipients:;", { NULL } },
    { "a b c", { "a=a", "b=b", "c=c" } },
    { "a@b c@d", { "a@b=a@b", "c@d=c@d" } },
    { "a@[192.0.2.1]", { "a@[192.0.2.1]=a@[192.0.2.1]" } },
    { "a@[IPv6:::1], b", { "a@[IPv6:::1]=a@[IPv6:::1]", "b=b" } },
    { ",, a ,,", { "a=a" } },
    { "", { NULL } },
    { "\"|/bin/prog a, b\", c",
        { "|/bin/prog a, b=\"|/bin/prog a, b\"", "c=c" } },
    { ":include:/etc/list, /var/file",
        { ":include:/etc/list="
          ":include:/etc/list",
            "/var/file=/var/file" } },
    { "a@b\r\n c@d", { "a@b=a@b", "c@d=c@d" } },
    { "@other.example", { "@other.example=@other.example" } },

    /* Broken, but never out of bounds. */
    { "\"open@x", { "open@x=\"open@x" } },
    { "<a@b", { "a@b=a@b" } },
    { "a@[x", { "a@[x=a@[x" } },
    { "(open a@b", { NULL } },
    { ">>a@b<<c@d>>", { "<c@d=<c@d" } },
    { "\\", { "\\=\\" } },
    { "\"a\r\n b\"@x", { "a b@x=\"a\r\n b\"@x" } },
    { "a) b", { "a=a", ")=)", "b=b" } },
};

static void
test_addresses(void **state)
{
    struct buf internal;

    (void)state;
    buf_init(&internal, 1000);
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct header_addresses h;
        struct slice raw;
        size_t n = 0;

        print_message("  %s\n", lists[i].in);
        header_addresses_init(&h, slice_of(lists[i].in), TOKENS);
        for (; header_addresses_next(&h, &internal, &raw); n++) {
            char *got = mem_format("%s=" SLICE_FMT, buf_text(&internal),
                SLICE_ARG(raw));

            assert_non_null(lists[i].want[n]);
            assert_string_equal(got, lists[i].want[n]);
            mem_free(got);
        }
        assert_null(lists[i].want[n]);
    }
    buf_fini(&internal);
}

static void
test_token_limit(void **state)
{
    struct header_addresses h;
    struct buf internal;
    struct slice raw;
    size_t n = 0;

    (void)state;
    buf_init(&internal, 1000);
    /* Four tokens each, with the comma. */
    header_addresses_init(&h, SLICE_LIT("a@b, c@d, e@f"), 8);
    while (header_addresses_next(&h, &internal, &raw))
        n++;
    assert_int_equal(n, 2);
    buf_fini(&internal);
}

static const struct {
    const char *line;
    size_t want;
} names[] = {
    { "Subject: x", 7 },
    { "Subject : x", 7 },
    { "Subject:", 7 },
    { "X-a!b: c", 5 },
    { "From ann Sat", 0 },
    { " Subject: x", 0 },
    { ": x", 0 },
    { "", 0 },
    { "Sub ject: x", 0 },
    { "S\xc3\xbc: x", 0 },
    { "http://x", 4 },
};

static void
test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        print_message("  %s\n", names[i].line);
        assert_int_equal(header_name_length(slice_of(names[i].line)),
            names[i].want);
    }
}

static void
test_fields(void **state)
{
    struct slice rest = SLICE_LIT(
        "A: 1\r\nB:2\r\n\t3\r\nC:\r\n\r\nbody: x\r\n");
    struct header_field f;

    (void)state;
    assert_true(header_next(&rest, &f));
    assert_true(slice_eq_text(f.name, "A"));
    assert_true(slice_eq_text(f.value, "1"));
    assert_true(header_next(&rest, &f));
    assert_true(slice_eq_text(f.value, "2\r\n\t3"));
    assert_true(slice_eq_text(f.whole, "B:2\r\n\t3\r\n"));
    assert_true(header_next(&rest, &f));
    assert_true(slice_eq_text(f.value, ""));
    assert_false(header_next(&rest, &f));
    assert_true(slice_eq_text(rest, "\r\nbody: x\r\n"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_token_limit),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
