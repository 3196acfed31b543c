/*
 * main.cf: values, complaints, states of parameters, files.
 */
#include "lib/config/config.h"

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/config/parameter.h"
#include "tests/unit/config_services.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[] = "/tmp/config_test.XXXXXX";

static int
make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static void
write_file(const char *name, const char *text)
{
    char *path = mem_format("%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    mem_free(path);
}

static void
remove_file(const char *name)
{
    char *path = mem_format("%s/%s", dir, name);

    unlink(path);
    mem_free(path);
}

static int
remove_dir(void **state)
{
    (void)state;
    remove_file("main.cf");
    remove_file("master.cf");
    return rmdir(dir);
}

static void
collect(void *context, enum config_severity severity, const char *text)
{
    buf_add_text(context, severity == CONFIG_ERROR ? "E " : "W ");
    buf_add_text(context, text);
    buf_add_octet(context, '\n');
}

/* Load two texts from files; complaints, with "DIR/" left out, in *said. */
static enum result
load_files(const char *main_cf, const char *master_cf, struct config_set **set,
    struct buf *said)
{
    struct buf raw;
    struct slice rest;
    struct why why;
    enum result res;

    write_file("main.cf", main_cf);
    write_file("master.cf", master_cf);
    buf_init(&raw, 1 << 20);
    buf_init(said, 1 << 20);
    res = config_load(dir, collect, &raw, set, &why);
    rest = buf_slice(&raw);
    while (rest.len > 0) {
        struct slice prefix = slice_of(dir);

        if (slice_starts(rest, prefix)) {
            rest = slice_skip(rest, prefix.len + 1);
            continue;
        }
        buf_add_octet(said, (unsigned char)rest.ptr[0]);
        rest = slice_skip(rest, 1);
    }
    buf_fini(&raw);
    return res;
}

/* The table itself: what parameter_find() and the programs rely on. */
static void
test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < parameter_count(); i++) {
        const struct parameter *p = parameter_at(i);

        assert_true(i == 0 || strcmp(parameter_at(i - 1)->name, p->name) < 0);
        assert_ptr_equal(parameter_find(slice_of(p->name)), p);
        assert_true(strlen(p->name) <= PARAMETER_NAME_MAX);
        assert_true(p->programs[0] != '\0');
        assert_true(p->high == 0 || p->low <= p->high);
    }
    assert_null(parameter_find(SLICE_LIT("smtpd_banne")));
    assert_null(parameter_find(SLICE_LIT("smtpd_banners")));
    assert_null(parameter_find(SLICE_LIT("")));
    for (size_t i = 0; i < parameter_suffix_count(); i++) {
        const struct parameter *p = parameter_suffix_at(i);

        assert_int_equal(p->fallback[0], '$');
        assert_non_null(parameter_find(slice_of(p->fallback + 1)));
    }
}

static void
test_defaults(void **state)
{
    struct config_set *set = load("myhostname = mx.example.org\n", "");
    const struct config *c = config_main(set);

    (void)state;
    assert_string_equal(c->smtpd_banner, "mx.example.org ESMTP Postern");
    assert_string_equal(c->mydomain, "example.org");
    assert_string_equal(c->mydestination,
        "mx.example.org, localhost.example.org, localhost");
    assert_string_equal(c->_2bounce_notice_recipient, "postmaster");
    assert_int_equal(c->default_process_limit, 1000);
    assert_int_equal(c->smtpd_timeout, 300 * 1000);
    assert_int_equal(c->bounce_queue_lifetime, 5LL * 24 * 3600 * 1000);
    assert_int_equal(c->smtpd_hard_error_limit, 20);
    assert_int_equal(c->message_size_limit, 10240000);
    assert_int_equal(c->queue_segment_size, 64 << 20);
    assert_true(c->append_at_myorigin);
    assert_true(c->swap_bangpath);
    assert_string_equal(c->local_recipient_maps,
        "proxy:unix:passwd.byname hash:/etc/aliases");
    assert_string_equal(c->syslog_name, "postern");
    /* Expanded when they are used. */
    assert_string_equal(c->forward_path,
        "$home/.forward${recipient_delimiter}${extension}, $home/.forward");
    assert_non_null(strstr(c->smtpd_expansion_filter, "\"#$%&'()*+,-./0"));
    config_drop(set);
}

/* One value of main.cf: its text after all, or what the complaint says. */
static const struct {
    const char *text, *name, *want, *error;
} values[] = {
    { "myorigin = a", "myorigin", "a" },
    { "myorigin=a", "myorigin", "a" },
    { "myorigin =  a b \t", "myorigin", "a b" },
    { "myorigin = a=b", "myorigin", "a=b" },
    { "relayhost =", "relayhost", "" },
    { "# c\n\n  # d\nmyorigin = a", "myorigin", "a" },
    { "relayhost = a,\n b,\n\tc", "relayhost", "a, b,\tc" },
    { "relayhost = a\n# c\n\n  # d\n b", "relayhost", "a b" },
    { "relayhost = a\n\nmyorigin = x", "relayhost", "a" },
    { "relayhost = a\r\nmyorigin = x\r\n", "relayhost", "a" },
    { "relayhost = a # b", "relayhost", "a # b" },
    { "swap_bangpath = no\nswap_bangpath = yes", "swap_bangpath", "yes" },
    { "own = $mydomain\nmydomain = x.y\nrelayhost = [$own]", "relayhost",
        "[x.y]" },
    { "own = 5\nsmtpd_timeout = ${own}m", "smtpd_timeout", "5m" },
    { "mydestination = $$x", "mydestination", "$x" },
    { "luser_relay = $user@x", "luser_relay", "$user@x" },
    { "virtual_maps = hash:x", "virtual_alias_maps", "hash:x" },
    { "fallback_relay = x", "smtp_fallback_relay", "x" },
    { "compatibility_level = 2", "relay_domains", "" },
    { "compatibility_level = 1\nmydestination = q", "relay_domains", "q" },

    { "myorigin a", NULL, NULL, "main.cf, line 1: missing '='" },
    { "# x\n\n= a", NULL, NULL, "main.cf, line 3: missing parameter name" },
    { "my origin = a", NULL, NULL, "main.cf, line 1: missing '='" },
    { "relayhost = ${x", NULL, NULL,
        "main.cf, line 1: relayhost = ${x: closing bracket missing" },
    { "relayhost = $relayhost", NULL, NULL, "line 1: relayhost = $relayhost" },
    { "own = $own\nrelayhost = $own", NULL, NULL, "a loop?" },
    { "own = ${\nrelayhost = x", NULL, NULL, "line 1: own = ${" },
    { "swap_bangpath = maybe", NULL, NULL,
        "line 1: swap_bangpath = maybe: neither yes nor no" },
    { "swap_bangpath =", NULL, NULL, "neither yes nor no" },
    { "smtpd_timeout = 5x", NULL, NULL, "bad time value or unit" },
    { "smtpd_timeout = 0", NULL, NULL, "less than 1s" },
    { "smtpd_recipient_limit = ten", NULL, NULL, "not a number" },
    { "smtpd_recipient_limit = 0", NULL, NULL, "less than 1" },
    { "myhostname =", NULL, NULL, "line 1: myhostname = : must not be empty" },
    { "queue_segment_size = 2k", NULL, NULL, "less than 1048576" },
    { "smtpd_client_ipv4_prefix_length = 33", NULL, NULL, "more than 32" },
    { "message_size_limit = 1x", NULL, NULL, "not a number of octets" },
    { "mynetworks_style = all", NULL, NULL, "not one of class subnet host" },
    { "inet_protocols = ipv4, ipv5", NULL, NULL, "not a list of" },
    { "compatibility_level = new", NULL, NULL, "not a level" },
    { "a_destination_rate_delay = x", NULL, NULL, "bad time value" },
};

static void
test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct config_set *set = NULL;
        struct why why = { 0 };
        enum result res;

        print_message("  %s\n", values[i].text);
        res = config_from_text(values[i].text, "", &set, &why);
        if (values[i].error != NULL) {
            assert_int_equal(res, RESULT_PERMFAIL);
            if (strstr(why.text, values[i].error) == NULL)
                fail_msg("%s", why.text);
            continue;
        }
        assert_int_equal(res, RESULT_OK);
        assert_string_equal(config_get(config_main(set), values[i].name),
            values[i].want);
        config_drop(set);
    }
}

/* What is said, and whether it stops the start. */
static const struct {
    const char *main_cf, *master_cf, *want;
} complaints[] = {
    { "swap_bangpath = no\n", "", "" },
    { "smtpd_baner = x\n", "",
        "W main.cf, line 1: unknown parameter smtpd_baner: ignored (did you "
        "mean smtpd_banner?)\n" },
    { "qqqqqqqqqqqq = x\n", "",
        "W main.cf, line 1: unknown parameter qqqqqqqqqqqq: ignored\n" },
    { "own = x\nrelayhost = $own\n", "", "" },
    { "own = x\n", "smtp inet n - n - - smtpd -o smtpd_banner=$own\n", "" },
    { "smtpd_restriction_classes = \n", "", "" },
    { "my_hosts = x\nmy_query = y\nvirtual_alias_maps = mysql:my\n", "", "" },
    { "slow_destination_rate_delay = 1s\n", "slow unix - - n - - smtp\n", "" },
    { "slow_destination_rate_delay = 1s\n", "",
        "W main.cf, line 1: unknown parameter slow_destination_rate_delay: "
        "ignored (did you mean smtp_destination_rate_delay?)\n" },
    { "swap_bangpath = no\nswap_bangpath = yes\n", "",
        "W main.cf, line 2: overriding earlier entry: swap_bangpath=no\n" },
    { "  swap_bangpath = no\n", "",
        "W main.cf, line 1: a logical line must not begin with a blank: "
        "ignored\n" },
    /* Without use here. */
    { "max_idle = 5s\n", "", "" },
    { "",
        "smtp inet n - y - - smtpd\n -o header_checks=regexp:/x\n -o qq=r\n"
        "cleanup unix n - y - 0 cleanup\n",
        "W master.cf, line 1: unknown parameter qq: ignored\n"
        "W master.cf, line 1: chroot is not built into postern yet: ignored "
        "for 2 services\n" },
    { "", "x unix - - n - - nosuch\n",
        "E master.cf, line 1: unknown program \"nosuch\"\n" },
    { "", "a unix - - n - - pipe x\nb unix - - n - - pipe y\n",
        "W master.cf, line 1: pipe is not built into postern yet: 2 services "
        "will not work\n" },
    { "smtpd_timeout = x\n",
        "a inet n - n - - smtpd -o swap_bangpath=no\nb inet n - n - - smtpd\n",
        "E main.cf, line 1: smtpd_timeout = x: bad time value or unit\n"
        "W master.cf, line 1: smtpd has no use for -o swap_bangpath: ignored\n" },
    { "", "a inet n - n - - smtpd -o smtpd_timeout=$swap_bangpath\n",
        "E master.cf, line 1: smtpd_timeout = yes: bad time value or unit\n" },
    { "",
        "# x\n\nsmtp inet n - n - -\n x\nsmtp inet n - n - - smtpd\n"
        "smtp inet n - n - - smtpd\n",
        "E master.cf, line 3: unknown program \"x\"\n" },
};

static void
test_complaints(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(complaints) / sizeof(complaints[0]); i++) {
        bool stops = strncmp(complaints[i].want, "E ", 2) == 0;
        struct config_set *set = NULL;
        struct buf said;
        enum result res;

        print_message("  %s", complaints[i].main_cf);
        print_message("  %s\n", complaints[i].master_cf);
        res = load_files(complaints[i].main_cf, complaints[i].master_cf, &set,
            &said);
        if (i + 1 < sizeof(complaints) / sizeof(complaints[0])) {
            assert_string_equal(buf_text(&said), complaints[i].want);
            assert_int_equal(res, stops ? RESULT_PERMFAIL : RESULT_OK);
        } else {
            /* The last of equal lines counts, so the unknown program is gone. */
            assert_non_null(strstr(buf_text(&said),
                "W master.cf, line 5: service smtp of type inet stands in "
                "line 3 as well"));
            assert_int_equal(res, RESULT_OK);
        }
        buf_fini(&said);
        if (res == RESULT_OK)
            config_drop(set);
    }
}

/*
 * A text parameter of main.cf that is empty by default, in that state: which it
 * is changes as more is built.
 */
static const struct parameter *
some_parameter(enum parameter_state wanted)
{
    for (size_t i = 0; i < parameter_count(); i++) {
        const struct parameter *p = parameter_at(i);

        if (p->state == wanted && p->type == PARAMETER_STR &&
            p->fallback[0] == '\0' && p->low == 0 &&
            strstr(p->name, "security_level") == NULL &&
            parameter_applies(p, "smtpd"))
            return p;
    }
    return NULL;
}

static void
check_state(enum parameter_state wanted, const char *says, enum result want)
{
    const struct parameter *p = some_parameter(wanted);
    struct config_set *set = NULL;
    struct buf said;
    char *text, *line;

    if (p == NULL)
        return; /* all is built */
    print_message("  %s\n", p->name);
    text = mem_format("%s = x\n", p->name);
    line = mem_format("%s line 1: %s%s",
        want == RESULT_OK ? "W main.cf," : "E main.cf,", p->name, says);
    assert_int_equal(load_files(text, "", &set, &said), want);
    if (strstr(buf_text(&said), line) == NULL)
        fail_msg("%s", buf_text(&said));
    config_drop(set);
    buf_fini(&said);
    mem_free(text);
    mem_free(line);

    text = mem_format("smtp inet n - n - - smtpd -o %s=x\n", p->name);
    set = NULL;
    assert_int_equal(load_files("", text, &set, &said), want);
    assert_non_null(strstr(buf_text(&said), "master.cf, line 1: "));
    config_drop(set);
    buf_fini(&said);
    mem_free(text);

    /* Its default is nothing to complain of. */
    text = mem_format("%s =\n", p->name);
    assert_int_equal(load_files(text, "", &set, &said), RESULT_OK);
    assert_string_equal(buf_text(&said), "");
    config_drop(set);
    buf_fini(&said);
    mem_free(text);
}

static void
test_states(void **state)
{
    (void)state;
    check_state(STATE_PENDING, " is not built into postern yet", RESULT_OK);
    check_state(STATE_SECURITY, " = x: not built into postern yet",
        RESULT_PERMFAIL);
}

static void
test_files(void **state)
{
    char *big;
    struct config_set *set = NULL;
    struct why why;

    (void)state;
    write_file("main.cf", "swap_bangpath = no\n");
    remove_file("master.cf");
    assert_int_not_equal(config_load(dir, NULL, NULL, &set, &why), RESULT_OK);
    assert_non_null(strstr(why.text, "master.cf"));
    assert_int_equal(config_load_main(dir, NULL, NULL, &set, &why), RESULT_OK);
    assert_false(config_main(set)->swap_bangpath);
    assert_string_equal(config_main(set)->config_directory, dir);
    assert_string_equal(config_directory(set), dir);
    config_drop(set);

    remove_file("main.cf");
    write_file("master.cf", "");
    assert_int_not_equal(config_load(dir, NULL, NULL, &set, &why), RESULT_OK);
    assert_int_equal(config_load_main(dir, NULL, NULL, &set, &why), RESULT_OK);
    assert_true(config_main(set)->swap_bangpath);
    config_drop(set);

    /* A line past its limit is refused, not cut. */
    big = mem_alloc((1 << 20) + 100);
    memset(big, 'x', (1 << 20) + 50);
    memcpy(big, "relayhost = ", 12);
    write_file("main.cf", big);
    mem_free(big);
    assert_int_equal(config_load_main(dir, NULL, NULL, &set, &why),
        RESULT_PERMFAIL);
    assert_non_null(strstr(why.text, "too long"));
}

/* What is installed says nothing that is wrong, unknown or not built. */
static void
test_installed(void **state)
{
    struct config_set *set = NULL;
    struct buf said;
    struct why why;

    (void)state;
    if (access("conf/main.cf", R_OK) < 0)
        skip();
    buf_init(&said, 1 << 20);
    if (config_load("conf", collect, &said, &set, &why) != RESULT_OK)
        fail_msg("%s", why.text);
    assert_string_equal(buf_text(&said), "");
    assert_non_null(config_find_service(set, "smtp", "inet"));
    assert_string_equal(config_tag_of_service(set, "relay", "smtp"),
        "postern/relay/smtp");
    assert_string_equal(config_main(set)->relay_domains, "");
    config_drop(set);
    buf_fini(&said);
}

static void
test_references(void **state)
{
    struct config_set *set = load("", "");

    (void)state;
    assert_ptr_equal(config_hold(set), set);
    config_drop(set);
    assert_string_equal(config_main(set)->mail_name, "Postern");
    config_drop(set);
    config_drop(NULL);
}

static void
test_nearest(void **state)
{
    (void)state;
    assert_string_equal(parameter_nearest(SLICE_LIT("mydestinations")),
        "mydestination");
    assert_string_equal(parameter_nearest(SLICE_LIT("smtpd_recipent_limit")),
        "smtpd_recipient_limit");
    assert_null(parameter_nearest(SLICE_LIT("xyzzy")));
    assert_null(parameter_nearest(SLICE_LIT("")));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_complaints),
        cmocka_unit_test(test_states),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_installed),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_nearest),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
