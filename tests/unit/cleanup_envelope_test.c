/*
 * What clean-up makes of the recipients: completed, expanded, copied.
 */
#include "lib/mail/cleanup.h"
#include "tests/unit/cleanup_world.h"

#include <string.h>

#define MAPS "append_dot_mydomain = yes\nrecipient_delimiter = +\n"

static const struct {
    const char *name, *main_cf;
    const char *in[4];
    const char *out; /* address(original)! ... ; "!" is NOTIFY=NEVER */
    uint32_t flags;
} envelopes[] = {
    { "plain", MAPS, { "ann@x.y" }, "ann@x.y(ann@x.y) " },
    { "completed", MAPS, { "ann", "b@host" },
        "ann@mail.example.com(ann) b@host.example.com(b@host) " },
    { "duplicates", MAPS, { "ann@x.y", "ANN@X.y", "ann@x.y" },
        "ann@x.y(ann@x.y) " },
    { "the same by two names", MAPS, { "ann", "ann@mail.example.com" },
        "ann@mail.example.com(ann) "
        "ann@mail.example.com(ann@mail.example.com) " },
    { "no originals", "enable_original_recipient = no\n",
        { "ann", "ann@mail.example.com" }, "ann@mail.example.com() " },
    { "alias", MAPS "virtual_alias_maps = inline:{a@x.y=b@z}\n", { "a@x.y" },
        "b@z.example.com(a@x.y) " },
    { "alias of aliases",
        MAPS "virtual_alias_maps = inline:{{a@x.y=b@x.y,c@x.y},"
             "{b@x.y=d@x.y,e@x.y}}\n",
        { "a@x.y" }, "d@x.y(a@x.y) e@x.y(a@x.y) c@x.y(a@x.y) " },
    { "copy kept", MAPS "virtual_alias_maps = inline:{{a@x.y=a@x.y,b@x.y}}\n",
        { "a@x.y" }, "a@x.y(a@x.y) b@x.y(a@x.y) " },
    { "extension propagated",
        MAPS "virtual_alias_maps = inline:{a@x.y=b@z.z}\n", { "a+e@x.y" },
        "b+e@z.z(a+e@x.y) " },
    { "extension matched", MAPS "virtual_alias_maps = inline:{a+e@x.y=b@z.z}\n",
        { "a+e@x.y" }, "b@z.z(a+e@x.y) " },
    { "extension not propagated",
        MAPS "virtual_alias_maps = inline:{a@x.y=b@z.z}\n"
             "propagate_unmatched_extensions =\n",
        { "a+e@x.y" }, "b@z.z(a+e@x.y) " },
    { "other domain", MAPS "virtual_alias_maps = inline:{@x.y=@z.z}\n",
        { "a+e@x.y" }, "a+e@z.z(a+e@x.y) " },
    { "other domain for one user",
        MAPS "virtual_alias_maps = inline:{a@x.y=@z.z}\n", { "a+e@x.y" },
        "a+e@z.z(a+e@x.y) " },
    { "local user", MAPS "virtual_alias_maps = inline:{a=b}\n", { "a" },
        "b@mail.example.com(a) " },
    { "user elsewhere", MAPS "virtual_alias_maps = inline:{a=b}\n", { "a@x.y" },
        "a@x.y(a@x.y) " },
    { "bcc", MAPS "always_bcc = log\n", { "a@x.y" },
        "a@x.y(a@x.y) log@mail.example.com(log)! " },
    { "no bcc of our own", MAPS "always_bcc = log\n", { "a@x.y" },
        "a@x.y(a@x.y) ", ENVELOPE_INTERNAL },
    { "no mappings",
        MAPS "always_bcc = log\nvirtual_alias_maps = inline:{a@x.y=b@z}\n",
        { "a@x.y" }, "a@x.y(a@x.y) ", ENVELOPE_NO_MAPPING },
};

static void
test_envelopes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(envelopes) / sizeof(envelopes[0]); i++) {
        struct mail m = { .main_cf = envelopes[i].main_cf,
            .flags = envelopes[i].flags,
            .content = SLICE_LIT("A: 1\r\n") };

        print_message("  %s\n", envelopes[i].name);
        memcpy(m.recipients, envelopes[i].in, sizeof(envelopes[i].in));
        run_ok(&m);
        assert_string_equal(buf_text(&queue.recipients), envelopes[i].out);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_envelopes),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
