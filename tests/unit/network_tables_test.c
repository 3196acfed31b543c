#include "lib/base/clock.h"
#include "lib/table/cost.h"
#include "lib/table/hosts.h"
#include "lib/table/named.h"
#include "lib/table/resp.h"
#include "lib/table/socketmap_reply.h"
#include "lib/table/table.h"
#include "lib/table/tcp_reply.h"
#include "lib/table/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* It wants what stands above. */
#include "tests/unit/open_tables.h"

static const struct {
    const char *text, *value, *key;
    const char *want; /* NULL: suppressed */
} templates[] = {
    { "%s", "a", "a", "a" },
    { "x%%y%s", "a", "a", "x%ya" },
    { "%u|%d", "u@d.e", "", "u|d.e" },
    { "%u", "plain", "", "plain" },
    { "%u", "a@b@c", "", "a@b" },
    { "%d", "plain", "", NULL },
    { "%d", "a@", "", NULL },
    { "%u", "@d", "", NULL },
    { "%S %U %D", "v", "k@e", "k@e k e" },
    { "%1 %2 %3", "v", "u@mail.example.com", "com example mail" },
    { "%4", "v", "u@mail.example.com", NULL },
    { "%1", "v", "unqualified", NULL },
    { "%2", "v", "u@.com", NULL },
    { "%s", "", "k", NULL },
    { "", "v", "k", "" },
    { "none", "", "", "none" },
};

static void
test_templates(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof(templates) / sizeof(templates[0]); i++) {
        enum template_status status;

        print_message("  %s, %s, %s\n", templates[i].text, templates[i].value,
            templates[i].key);
        buf_clear(&out);
        status = template_expand(templates[i].text,
            slice_of(templates[i].value), slice_of(templates[i].key), NULL,
            NULL, &out);
        assert_int_equal(status,
            templates[i].want == NULL ? TEMPLATE_SUPPRESSED : TEMPLATE_DONE);
        if (templates[i].want != NULL)
            assert_string_equal(buf_text(&out), templates[i].want);
    }
    buf_fini(&out);
}

static bool
quote_all(void *context, struct slice in, struct buf *to)
{
    (void)context;
    buf_add_octet(to, '<');
    buf_add(to, in);
    buf_add_octet(to, '>');
    return in.ptr[0] != '!';
}

static void
test_quoting(void **state)
{
    struct buf out;
    char bad = '\0';

    (void)state;
    buf_init(&out, 1000);
    assert_int_equal(template_expand("a %s b %d", SLICE_LIT("x@y"),
                         SLICE_LIT("x@y"), quote_all, NULL, &out),
        TEMPLATE_DONE);
    assert_string_equal(buf_text(&out), "a <x@y> b <y>");
    assert_int_equal(template_expand("%s", SLICE_LIT("!"), SLICE_LIT("!"),
                         quote_all, NULL, &out),
        TEMPLATE_FAILED);
    buf_fini(&out);
    assert_true(template_check("%s%u%%%9", &bad));
    assert_false(template_check("a %x", &bad));
    assert_int_equal(bad, 'x');
    assert_false(template_check("a %0", &bad));
    assert_false(template_check("at the end %", &bad));
}

static const struct {
    const char *line, *value;
    enum table_status want;
} tcp_replies[] = {
    { "200 a%20b%25", "a b%", TABLE_FOUND },
    { "200 ", "", TABLE_FOUND },
    { "500 none", "", TABLE_NOT_FOUND },
    { "400 later", "", TABLE_ERROR },
    { "200 bad%2", "", TABLE_ERROR },
    { "200 bad%zz", "", TABLE_ERROR },
    { "200", "", TABLE_ERROR },
    { "2000 x", "", TABLE_ERROR },
    { "", "", TABLE_ERROR },
};

static void
test_tcp(void **state)
{
    struct buf value;
    struct why why;

    (void)state;
    buf_init(&value, 100);
    for (size_t i = 0; i < sizeof(tcp_replies) / sizeof(tcp_replies[0]); i++) {
        buf_clear(&value);
        assert_int_equal(tcp_reply_parse(slice_of(tcp_replies[i].line), &value,
                             &why),
            tcp_replies[i].want);
        assert_string_equal(buf_text(&value), tcp_replies[i].value);
    }
    buf_clear(&value);
    tcp_encode(SLICE_LIT("a b%\n\xff~"), &value);
    assert_string_equal(buf_text(&value), "a%20b%25%0A%FF~");
    buf_fini(&value);
}

static const struct {
    const char *in;
    int want;
    size_t size, used;
} lengths[] = {
    { "5:abc", 1, 5, 2 },
    { "100:", 1, 100, 4 },
    { "101:", -1 },
    { "12", 0 },
    { "", 0 },
    { ":", -1 },
    { "x:", -1 },
    { "1x:", -1 },
    { "-1:", -1 },
    { "12345678901:", -1 },
    { "12345678901", -1 },
};

static const struct {
    const char *reply, *value;
    enum table_status want;
} socketmap_replies[] = {
    { "OK a b", "a b", TABLE_FOUND },
    { "OK ", "", TABLE_FOUND },
    { "NOTFOUND ", "", TABLE_NOT_FOUND },
    { "NOTFOUND", "", TABLE_NOT_FOUND },
    { "TEMP why", "", TABLE_ERROR },
    { "TIMEOUT ", "", TABLE_ERROR },
    { "PERM why", "", TABLE_ERROR },
    { "ok x", "", TABLE_ERROR },
    { "", "", TABLE_ERROR },
};

static void
test_socketmap(void **state)
{
    struct buf value;
    struct why why;

    (void)state;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        size_t size = 0, used = 0;

        print_message("  %s\n", lengths[i].in);
        assert_int_equal(socketmap_length(slice_of(lengths[i].in), 100, &size,
                             &used),
            lengths[i].want);
        assert_int_equal(size, lengths[i].size);
        assert_int_equal(used, lengths[i].used);
    }
    buf_init(&value, 100);
    for (size_t i = 0;
         i < sizeof(socketmap_replies) / sizeof(socketmap_replies[0]); i++) {
        buf_clear(&value);
        assert_int_equal(socketmap_reply_parse(slice_of(
                                                   socketmap_replies[i].reply),
                             &value, &why),
            socketmap_replies[i].want);
        assert_string_equal(buf_text(&value), socketmap_replies[i].value);
    }
    buf_clear(&value);
    socketmap_add_netstring(SLICE_LIT("map"), SLICE_LIT("key"), &value);
    assert_string_equal(buf_text(&value), "7:map key,");
    buf_fini(&value);
}

static const struct {
    const char *in, *text;
    enum resp_kind want;
    size_t used, count;
} values[] = {
    { "+OK\r\n", "OK", RESP_TEXT, 5 },
    { ":12\r\nmore", "12", RESP_TEXT, 5 },
    { "$3\r\na\nb\r\n", "a\nb", RESP_TEXT, 9 },
    { "$0\r\n\r\n", "", RESP_TEXT, 6 },
    { "$-1\r\n", "", RESP_NIL, 5 },
    { "*-1\r\n", "", RESP_NIL, 5 },
    { "*2\r\n$1\r\n", "", RESP_ARRAY, 4, 2 },
    { "-ERR no\r\n", "ERR no", RESP_ERROR, 9 },
    { "", "", RESP_MORE },
    { "+OK\r", "", RESP_MORE },
    { "$3\r\nab", "", RESP_MORE },
    { "$3\r\nabcd\r\n", "", RESP_MALFORMED },
    { "$x\r\n", "", RESP_MALFORMED },
    { "$9999999\r\n", "", RESP_MALFORMED },
    { "*99999\r\n", "", RESP_MALFORMED },
    { "+OK\n", "", RESP_MALFORMED },
    { "\r\n", "", RESP_MALFORMED },
    { "what\r\n", "", RESP_MALFORMED },
};

static void
test_resp(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct resp_value v;

        print_message("  %zu\n", i);
        assert_int_equal(resp_parse(slice_of(values[i].in), &v),
            values[i].want);
        if (values[i].want == RESP_MORE || values[i].want == RESP_MALFORMED)
            continue;
        assert_int_equal(v.used, values[i].used);
        assert_int_equal(v.count, values[i].count);
        if (values[i].want == RESP_TEXT || values[i].want == RESP_ERROR)
            assert_true(slice_eq_text(v.text, values[i].text));
    }
}

/* lookup opens what is named, and nothing else, and that for who has a use. */
enum {
    TO_NONE = 0,
    TO_LOOKUP = ROLE_BIT(ROLE_LOOKUP),
    TO_SMTPD = TO_LOOKUP | ROLE_BIT(ROLE_SMTPD),
    TO_SMTP = TO_LOOKUP | ROLE_BIT(ROLE_SMTP),
    TO_LOCAL = TO_LOOKUP | ROLE_BIT(ROLE_LOCAL),
    TO_SUBMITTERS = TO_SMTPD | TO_LOCAL | ROLE_BIT(ROLE_BOUNCE),
};

static const struct {
    const char *spec;
    unsigned roles;
} names[] = {
    { "pgsql:/etc/direct.cf", TO_SUBMITTERS },
    { "ldap:/etc/proxied.cf", TO_SUBMITTERS },
    { "mysql:/etc/unlisted.cf", TO_NONE },
    { "tcp:127.0.0.1:99", TO_SUBMITTERS | TO_SMTP },
    { "redis:/etc/inner.cf", TO_SMTPD },
    { "redis:/etc/of-service.cf", TO_LOOKUP },
    { "sqlite:/etc/class.cf", TO_SMTPD },
    { "sqlite:/etc/no-class.cf", TO_LOOKUP },
    { "ldap:/etc/passwords.cf", TO_SMTP },
    { "ldap:/etc/lmtp-passwords.cf", TO_SMTP },
    { "pgsql:/etc/uids.cf", TO_LOCAL },
    { "pgsql:/etc/aliases.cf", TO_LOCAL | TO_SMTPD },
    { "pgsql:/etc/line.cf", TO_SMTPD },
    { "pgsql:/etc/wrong-line.cf", TO_LOOKUP },
    { "pgsql:/etc/by-line.cf", TO_SMTPD },
    { "tcp:127.0.0.1:98", TO_SMTPD },
    { "pgsql:/etc/shadow", TO_NONE },
    { "pgsql:/etc/direct.cf,x", TO_NONE },
    { "hash:/etc/aliases", TO_NONE },
    { "", TO_NONE },
};

static unsigned
roles_that_may(const struct named_tables *named, const char *spec)
{
    unsigned roles = 0;

    for (enum role role = ROLE_MASTER; role < ROLE_COUNT; role++)
        if (named_tables_may(named, role, slice_of(spec)))
            roles |= ROLE_BIT(role);
    return roles;
}

static void
test_named(void **state)
{
    struct config_set *set;
    struct named_tables named;
    struct why why;

    (void)state;
    if (config_from_text(
            "compatibility_level = 3.6\n"
            "virtual_alias_maps = pgsql:/etc/direct.cf, hash:/etc/aliases, "
            "proxy:ldap:/etc/proxied.cf\n"
            "transport_maps = proxy:mysql:/etc/unlisted.cf\n"
            "relay_recipient_maps = unionmap:{inline:{a=b},"
            "cache:{9,redis:/etc/inner.cf}}\n"
            "mydestination = !tcp:127.0.0.1:99\n"
            "smtpd_restriction_classes = other_class, my_class\n"
            "my_class = check_recipient_access sqlite:/etc/class.cf\n"
            "no_class = check_recipient_access sqlite:/etc/no-class.cf\n"
            "smtp_sasl_password_maps = ldap:/etc/passwords.cf\n"
            "virtual_uid_maps = pgsql:/etc/uids.cf\n"
            "alias_maps = pgsql:/etc/aliases.cf\n"
            "other_class = check_sender_access pgsql:/etc/$which.cf\n"
            "which = direct\n"
            "smtpd_helo_restrictions = ${stress?{check_helo_access "
            "tcp:127.0.0.1:98}}\n"
            "proxy_read_maps = $virtual_alias_maps\n",
            "smtp unix - - n - - smtp -o smtp_bind_address=127.0.0.1\n"
            " -o { myhooks = redis:/etc/of-service.cf }\n"
            "lmtp unix - - n - - lmtp\n"
            " -o lmtp_sasl_password_maps=ldap:/etc/lmtp-passwords.cf\n"
            "2525 inet n - n - - smtpd -o which=by-line\n"
            " -o { smtpd_client_restrictions = check_client_access "
            "pgsql:/etc/line.cf }\n"
            " -o virtual_uid_maps=pgsql:/etc/wrong-line.cf\n",
            &set, &why) != RESULT_OK)
        fail_msg("%s", why.text);
    named_tables_init(&named, set);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        print_message("  %s\n", names[i].spec);
        assert_int_equal(roles_that_may(&named, names[i].spec), names[i].roles);
    }
    named_tables_fini(&named);
    config_drop(set);
}

static void
test_hosts(void **state)
{
    struct hosts h;
    uint64_t tried = 0;
    struct host *one, *two;

    (void)state;
    clock_set(1000, 1000000);
    hosts_init(&h, "a, b  c");
    assert_int_equal(h.count, 3);
    one = hosts_next(&h, &tried);
    /* A third of the time for each; what the first one left is the others'. */
    assert_int_equal(hosts_deadline(&h, tried, 1000 + 900), 1000 + 300);
    assert_int_equal(hosts_deadline(&h, 7, 1000 + 900), 1000 + 900);
    assert_int_equal(hosts_deadline(&h, tried, 900), 900);
    host_failed(one, "redis:x", "closed");
    /* One that failed comes last, but it comes. */
    for (unsigned i = 0; i < 20; i++) {
        tried = 0;
        assert_ptr_not_equal(hosts_next(&h, &tried), one);
        assert_ptr_not_equal(hosts_next(&h, &tried), one);
        assert_ptr_equal(hosts_next(&h, &tried), one);
        assert_null(hosts_next(&h, &tried));
    }
    clock_advance_ms(HOST_RETRY_MS);
    two = NULL;
    for (unsigned i = 0; i < 1000 && two != one; i++) {
        tried = 0;
        two = hosts_next(&h, &tried);
    }
    assert_ptr_equal(two, one);
    hosts_fini(&h);
    clock_unset();
}

static void
test_cache(void **state)
{
    char *path = tables_path("map");
    char *spec = mem_format("cache:{1h, texthash:%s}", path);
    struct table *t;
    struct why why;

    (void)state;
    clock_set(1000, 1000000);
    assert_int_equal(table_open(slice_of(spec), tables_main(), &t, &why),
        RESULT_OK);
    assert_int_equal(tables_ask(t, "a")[0], '!'); /* errors are not kept */
    tables_write(path, "a 1\n");
    assert_string_equal(tables_ask(t, "A"), "1");
    assert_string_equal(tables_ask(t, "b"), "-");
    tables_write(path, "a 22\nb 2\n");
    clock_advance_ms(3599 * 1000);
    assert_string_equal(tables_ask(t, "a"), "1");
    assert_string_equal(tables_ask(t, "b"), "-");
    clock_advance_ms(1000);
    assert_string_equal(tables_ask(t, "a"), "22");
    assert_string_equal(tables_ask(t, "b"), "2");
    /* More keys than it keeps. */
    for (unsigned i = 0; i < 25000; i++) {
        char key[20];

        (void)snprintf(key, sizeof(key), "k%u", i);
        assert_string_equal(tables_ask(t, key), "-");
    }
    assert_string_equal(tables_ask(t, "a"), "22");
    table_close(t);
    assert_int_equal(table_open(SLICE_LIT("cache:{x, static:a}"), tables_main(),
                         &t, &why),
        RESULT_PERMFAIL);
    assert_int_equal(table_open(SLICE_LIT("cache:{5}"), tables_main(), &t,
                         &why),
        RESULT_PERMFAIL);
    clock_unset();
    mem_free(spec);
    mem_free(path);
}

static void
see_cost(void *context, const char *spec, const struct table_cost *cost)
{
    *(struct table_cost *)context = *cost;
    assert_string_equal(spec, "tcp:127.0.0.1:1");
}

/* Nobody listens there: an error, and counted. */
static void
test_cost(void **state)
{
    struct table_cost cost = { 0 };
    struct table *t;
    struct why why;

    (void)state;
    assert_int_equal(table_open(SLICE_LIT("tcp:127.0.0.1:1"), tables_main(), &t,
                         &why),
        RESULT_OK);
    assert_int_equal(tables_ask(t, "a")[0], '!');
    table_each_cost(see_cost, &cost);
    assert_int_equal(cost.asked, 1);
    assert_int_equal(cost.errors, 1);
    assert_int_equal(cost.found, 0);
    assert_int_equal(cost.under_way, 0);
    table_close(t);
    assert_int_equal(table_open_with(SLICE_LIT("tcp:127.0.0.1:1"),
                         TABLE_SENSITIVE, tables_main(), &t, &why),
        RESULT_PERMFAIL);
    assert_string_equal(why.text,
        "tcp:127.0.0.1:1: tcp map is not allowed for security sensitive data");
}

/* How long questions took, from those that were told, and back off the wire. */
static void
test_quantiles(void **state)
{
    struct table_cost cost = { .under_way = 3 };
    struct cost_told told;
    struct slice rest;
    struct msg m;

    (void)state;
    assert_int_equal(cost_quantile(&cost, 500), 0);
    for (unsigned i = 0; i < 980; i++)
        cost_count(&cost, TABLE_FOUND, 0);
    for (unsigned i = 0; i < 15; i++)
        cost_count(&cost, TABLE_NOT_FOUND, 5);
    for (unsigned i = 0; i < 5; i++)
        cost_count(&cost, TABLE_ERROR, 600);
    msg_init(&m, MESSAGE_TABLE_COSTS_TOLD);
    cost_tell("tcp:a:1", &cost, &m);
    memset(&cost, 0, sizeof(cost));
    cost_count(&cost, TABLE_FOUND, UINT64_MAX);
    cost_tell("tcp:b:2", &cost, &m);
    rest = buf_slice(&m.body);
    assert_true(cost_next(&rest, &told));
    assert_true(slice_eq_text(told.spec, "tcp:a:1"));
    assert_int_equal(told.asked, 1000);
    assert_int_equal(told.found, 980);
    assert_int_equal(told.errors, 5);
    assert_int_equal(told.under_way, 3);
    assert_int_equal(told.ms, 3075);
    assert_int_equal(told.ms_half, 0);
    assert_int_equal(told.ms_p99, 7); /* 5, and a factor of less than two */
    assert_int_equal(told.ms_most, 600);
    assert_true(cost_next(&rest, &told));
    assert_true(slice_eq_text(told.spec, "tcp:b:2"));
    assert_int_equal(told.ms_half, UINT64_MAX);
    assert_int_equal(told.found, 1);
    assert_false(cost_next(&rest, &told));
    assert_int_equal(rest.len, 0);
    msg_fini(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_quoting),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_socketmap),
        cmocka_unit_test(test_resp),
        cmocka_unit_test(test_named),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_cost),
        cmocka_unit_test(test_quantiles),
    };

    return cmocka_run_group_tests(tests, tables_set_up, tables_tear_down);
}
