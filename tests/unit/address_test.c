#include "lib/mail/address.h"

#include "lib/mail/address_class.h"
#include "lib/mail/rewrite.h"
#include "tests/unit/tables.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void
assert_slice(struct slice got, const char *want)
{
    char *text = mem_text_of(got);

    assert_string_equal(text, want);
    mem_free(text);
}

static const struct {
    const char *internal, *external;
} forms[] = {
    { "ann@example.org", "ann@example.org" },
    { "a b@example.org", "\"a b\"@example.org" },
    { "a@b@example.org", "\"a@b\"@example.org" },
    { "a\"b\\c@x", "\"a\\\"b\\\\c\"@x" },
    { ".a@x", "\".a\"@x" },
    { "a.@x", "\"a.\"@x" },
    { "a..b@x", "\"a..b\"@x" },
    { "@x", "\"\"@x" },
    { "ann", "ann" },
    { "two words", "\"two words\"" },
    { "\xc3\xa4@x", "\xc3\xa4@x" },
    { "", "" },
    { "a@[192.0.2.1]", "a@[192.0.2.1]" },
};

static void
test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct buf to;

        buf_init(&to, 1024);
        address_quote(slice_of(forms[i].internal), &to);
        assert_string_equal(buf_text(&to), forms[i].external);
        buf_clear(&to);
        address_unquote(slice_of(forms[i].external), &to);
        assert_string_equal(buf_text(&to), forms[i].internal);
        buf_fini(&to);
    }
}

static void
test_split(void **state)
{
    struct slice local, domain;

    (void)state;
    assert_true(address_split(SLICE_LIT("a@b@c"), &local, &domain));
    assert_slice(local, "a@b");
    assert_slice(domain, "c");
    assert_true(address_split(SLICE_LIT("a@"), &local, &domain));
    assert_slice(domain, "");
    assert_false(address_split(SLICE_LIT("ann"), &local, &domain));
    assert_slice(local, "ann");
}

static const struct {
    const char *delimiters, *local, *user, *extension; /* user NULL: none */
} extensions[] = {
    { "+", "ann+x", "ann", "x" },
    { "+", "ann+x+y", "ann", "x+y" },
    { "+-", "ann-x+y", "ann", "x+y" },
    { "+", "ann+", "ann", "" },
    { "+", "+x", NULL, NULL },
    { "+", "ann", NULL, NULL },
    { "", "ann+x", NULL, NULL },
    { "-", "owner-list", NULL, NULL },
    { "-", "list-request", NULL, NULL },
    { "+", "owner-list+x", "owner-list", "x" },
    { "-", "Mailer-Daemon", NULL, NULL },
    { "-", "double-bounce", NULL, NULL },
};

static void
test_extension(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(extensions) / sizeof(extensions[0]); i++) {
        char *text = mem_format("recipient_delimiter = %s\n",
            extensions[i].delimiters);
        struct config_set *set = tables_config(text);
        struct slice user, extension;
        bool has;

        print_message("  %s\n", extensions[i].local);
        has = address_extension(config_main(set), slice_of(extensions[i].local),
            &user, &extension);
        assert_int_equal(has, extensions[i].user != NULL);
        if (has) {
            assert_slice(user, extensions[i].user);
            assert_slice(extension, extensions[i].extension);
        }
        config_drop(set);
        mem_free(text);
    }
}

static const struct {
    const char *domain;
    bool valid, literal;
} domains[] = {
    { "example.org", true, false },
    { "a_b.example", true, false },
    { "xn--bcher-kva.example", true, false },
    { "b\xc3\xbc"
      "cher.example",
        true, false },
    { "localhost", true, false },
    { "", false, false },
    { "a..b", false, false },
    { ".a", false, false },
    { "a.", false, false },
    { "-a.b", false, false },
    { "a-.b", false, false },
    { "a b", false, false },
    { "192.0.2.1", false, false },
    { "[192.0.2.1]", false, true },
    { "[192.0.2]", false, false },
    { "[IPv6:2001:db8::1]", false, true },
    { "[2001:db8::1]", false, false },
    { "[IPv6:192.0.2.1]", false, false },
    { "[]", false, false },
    { "[192.0.2.1", false, false },
};

static void
test_domains(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++) {
        print_message("  %s\n", domains[i].domain);
        assert_int_equal(domain_is_valid(slice_of(domains[i].domain)),
            domains[i].valid);
        assert_int_equal(domain_is_literal(slice_of(domains[i].domain)),
            domains[i].literal);
    }
}

#define PLAIN  "append_dot_mydomain = yes\n"
#define REMOTE PLAIN "remote_header_rewrite_domain = remote.invalid\n"

static const struct {
    const char *main_cf;
    enum rewrite_context context;
    const char *in, *want;
} rewrites[] = {
    { PLAIN, REWRITE_LOCAL, "ann@example.org", "ann@example.org" },
    { PLAIN, REWRITE_LOCAL, "ann", "ann@mail.example.com" },
    { PLAIN, REWRITE_LOCAL, "ann@host", "ann@host.example.com" },
    { PLAIN, REWRITE_LOCAL, "ann@example.org.", "ann@example.org" },
    { PLAIN, REWRITE_LOCAL, "ann@example.org..", "ann@example.org.." },
    { PLAIN, REWRITE_LOCAL, "ann@.", "ann@." },
    { PLAIN, REWRITE_LOCAL, "ann@[192.0.2.1]", "ann@[192.0.2.1]" },
    { PLAIN, REWRITE_LOCAL, "host!ann", "ann@host.example.com" },
    { PLAIN, REWRITE_LOCAL, "a!b!ann", "b!ann@a.example.com" },
    { PLAIN, REWRITE_LOCAL, "ann%host", "ann@host.example.com" },
    { PLAIN, REWRITE_LOCAL, "a%b%c", "a%b@c.example.com" },
    { PLAIN, REWRITE_LOCAL, "a!b@c.example", "a!b@c.example" },
    { PLAIN, REWRITE_LOCAL, "a%b@c.example", "a%b@c.example" },
    { PLAIN, REWRITE_LOCAL, "@a,@b:ann@example.org", "ann@example.org" },
    { PLAIN, REWRITE_LOCAL, "@a:ann", "ann@mail.example.com" },
    { PLAIN, REWRITE_LOCAL, "ann@", "ann@" },
    { PLAIN, REWRITE_LOCAL, "", "" },
    { PLAIN, REWRITE_NONE, "ann", "ann" },
    { PLAIN, REWRITE_REMOTE, "ann", "ann" },
    { PLAIN, REWRITE_REMOTE, "ann@host", "ann@host" },
    { REMOTE, REWRITE_REMOTE, "ann", "ann@remote.invalid" },
    { REMOTE, REWRITE_REMOTE, "ann@host", "ann@host.remote.invalid" },
    { "append_dot_mydomain = no\n", REWRITE_LOCAL, "ann@host", "ann@host" },
    { "append_at_myorigin = no\n", REWRITE_LOCAL, "ann", "ann" },
    { "swap_bangpath = no\n", REWRITE_LOCAL, "a!b", "a!b@mail.example.com" },
    { "allow_percent_hack = no\n", REWRITE_LOCAL, "a%b",
        "a%b@mail.example.com" },
    { "myorigin = example.net\n", REWRITE_LOCAL, "ann", "ann@example.net" },
};

static void
test_rewrite(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rewrites) / sizeof(rewrites[0]); i++) {
        struct config_set *set = tables_config(rewrites[i].main_cf);
        struct arena arena;
        struct slice out;
        struct why why;

        arena_init(&arena, 100000);
        print_message("  %s\n", rewrites[i].in);
        assert_int_equal(rewrite_address(config_main(set), rewrites[i].context,
                             slice_of(rewrites[i].in), &arena, &out, &why),
            RESULT_OK);
        assert_slice(out, rewrites[i].want);
        arena_clear(&arena);
        config_drop(set);
    }
}

static void
test_classes(void **state)
{
    static const struct {
        const char *domain;
        enum address_class want;
    } cases[] = {
        { "mail.example.com", CLASS_LOCAL },
        { "MAIL.example.com.", CLASS_LOCAL },
        { "[127.0.0.1]", CLASS_LOCAL },
        { "[IPv6:::ffff:127.0.0.1]", CLASS_LOCAL },
        { "[203.0.113.5]", CLASS_LOCAL },
        { "[192.0.2.1]", CLASS_DEFAULT },
        { "both.example", CLASS_LOCAL },
        { "alias.example", CLASS_VIRTUAL_ALIAS },
        { "sub.alias.example", CLASS_DEFAULT },
        { "box.example", CLASS_VIRTUAL_MAILBOX },
        { "relay.example", CLASS_RELAY },
        { "sub.relay.example", CLASS_RELAY },
        { "example.com", CLASS_DEFAULT },
        { "", CLASS_DEFAULT },
    };
    struct config_set *set = tables_config(
        "mydestination = $myhostname, both.example\n"
        "proxy_interfaces = 203.0.113.5\n"
        "virtual_alias_domains = alias.example both.example\n"
        "virtual_mailbox_domains = inline:{box.example=x}\n"
        "relay_domains = relay.example\n");
    struct address_classes *classes;
    struct why why;

    (void)state;
    assert_int_equal(address_classes_open(config_main(set), &classes, &why),
        RESULT_OK);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        enum address_class class;

        print_message("  %s\n", cases[i].domain);
        assert_int_equal(address_class_find(classes, slice_of(cases[i].domain),
                             &class, &why),
            RESULT_OK);
        assert_int_equal(class, cases[i].want);
    }
    address_classes_close(classes);
    config_drop(set);
}

static void
test_class_unknown(void **state)
{
    struct config_set *set = tables_config("relay_domains = fail:x\n");
    struct address_classes *classes;
    enum address_class class;
    struct why why;

    (void)state;
    assert_int_equal(address_classes_open(config_main(set), &classes, &why),
        RESULT_OK);
    assert_int_equal(address_class_find(classes, SLICE_LIT("mail.example.com"),
                         &class, &why),
        RESULT_OK);
    assert_int_equal(address_class_find(classes, SLICE_LIT("other.example"),
                         &class, &why),
        RESULT_TEMPFAIL);
    assert_string_equal(why.text, "fail:x lookup error");
    address_classes_close(classes);
    config_drop(set);
}

/* info_log_address_format: quoted where it has to be, or as it is. */
static void
test_for_log(void **state)
{
    static const struct {
        const char *main_cf, *internal, *shown;
    } cases[] = {
        { "", "ann@site.test", "ann@site.test" },
        { "", "a b@site.test", "\"a b\"@site.test" },
        { "", "u@v.test@site.test", "\"u@v.test\"@site.test" },
        { "", "", "" },
        { "info_log_address_format = internal\n", "a b@site.test",
            "a b@site.test" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct config_set *set = tables_config(cases[i].main_cf);
        struct buf held = { 0 };
        struct slice shown = address_for_log(config_main(set),
            slice_of(cases[i].internal), &held);

        assert_true(slice_eq(shown, slice_of(cases[i].shown)));
        buf_fini(&held);
        config_drop(set);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_for_log),
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_extension),
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_rewrite),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_class_unknown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
