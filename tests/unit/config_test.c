#include "lib/config/config.h"

#include "lib/base/mem.h"
#include "lib/config/parameter.h"
#include "lib/config/set.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

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

static struct config_set *
load(const char *main_cf, const char *master_cf)
{
    struct config_set *set = NULL;
    struct why why = { 0 };
    enum result res = config_from_text(main_cf, master_cf, &set, &why);

    if (res != RESULT_OK)
        print_error("%s\n", why.text);
    assert_int_equal(res, RESULT_OK);
    return set;
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

static const char services_text[] =
    "smtp      inet  n       -       n       -       -       smtpd\n"
    "127.0.0.1:2525 inet n - - - 5 smtpd -v -v -o syslog_name=x\n"
    "# comment\n"
    "  -o { smtpd_banner = hello  world } -o smtpd_helo_required=yes\n"
    "  -o smtpd_client_restrictions=$mua_restrictions\n"
    "pickup    unix  n       -       n       60      1       pickup\n"
    "flush     unix  n       -       n       1000?   0       flush\n"
    "qmgr      unix  n       -       n       300     1       qmgr\n"
    "  -o slow_destination_rate_delay=2s\n"
    "slow      unix  -       n       n       -       -       smtp\n"
    "  -o smtp_helo_name=slow.$mydomain\n"
    "lmtp      unix  -       -       n       -       -       /x/lmtp\n"
    "maildrop  unix  -       n       n       -       -       pipe\n"
    "  -o myhostname=q flags=F user=v argv=/bin/x -d {a  $b} -o c=d\n"
    "cleanup   unix  n       -       n       -       0       cleanup\n"
    "  -o header_size_limit=7\n";

static const char services_main[] =
    "myhostname = mx.example.org\n"
    "mua_restrictions = ${smtpd_helo_required} $mydomain\n"
    "lmtp_lhlo_name = lhlo.example\n"
    "lmtp_connect_timeout = 7s\n"
    "slow_destination_concurrency_limit = 3\n"
    "default_destination_recipient_limit = 11\n"
    "local_destination_rate_delay = 500\n"
    "default_process_limit = 17\n";

static struct config_set *
load_services(void)
{
    return load(services_main, services_text);
}

static void
test_services(void **state)
{
    struct config_set *set = load_services();
    const struct service *s;

    (void)state;
    assert_int_equal(config_service_count(set), 9);
    s = config_find_service(set, "smtp", "inet");
    assert_non_null(s);
    assert_int_equal(s->index, 0);
    assert_string_equal(s->program, "smtpd");
    assert_string_equal(s->log_tag, "postern/smtpd");
    assert_false(s->private);
    assert_true(s->unpriv);
    assert_false(s->chroot);
    assert_int_equal(s->wakeup, 0);
    assert_int_equal(s->maxproc, 17);
    assert_string_equal(s->argv[0], "smtpd");
    assert_null(s->argv[1]);
    assert_null(config_find_service(set, "smtp", "unix"));

    s = config_service(set, 1);
    assert_string_equal(s->name, "127.0.0.1:2525");
    assert_int_equal(s->maxproc, 5);
    assert_int_equal(s->verbose, 2);
    assert_string_equal(s->log_tag, "x/smtpd");
    assert_string_equal(s->config->smtpd_banner, "hello  world");
    assert_true(s->config->smtpd_helo_required);
    /* A class of main.cf sees the overrides of the line. */
    assert_string_equal(s->config->smtpd_client_restrictions,
        "yes example.org");
    assert_string_equal(config_get(s->config, "mua_restrictions"),
        "yes example.org");
    assert_string_equal(config_get(config_main(set), "mua_restrictions"),
        "no example.org");
    assert_null(config_get(s->config, "nosuch"));
    assert_null(s->argv[1]);

    s = config_find_service(set, "pickup", NULL);
    assert_int_equal(s->wakeup, 60000);
    assert_false(s->wakeup_if_used);
    s = config_find_service(set, "flush", NULL);
    assert_int_equal(s->wakeup, 1000000);
    assert_true(s->wakeup_if_used);
    assert_int_equal(s->maxproc, 0);

    s = config_find_service(set, "slow", "unix");
    assert_true(s->private);
    assert_false(s->unpriv);
    assert_string_equal(s->config->smtp_helo_name, "slow.example.org");
    assert_string_equal(config_main(set)->smtp_helo_name, "mx.example.org");

    s = config_find_service(set, "maildrop", "unix");
    assert_string_equal(s->argv[0], "pipe");
    assert_string_equal(s->argv[3], "argv=/bin/x");
    assert_string_equal(s->argv[5], "a  $b");
    assert_string_equal(s->argv[6], "-o");
    assert_null(s->argv[8]);
    assert_string_equal(s->config->mydestination,
        "q, localhost.localdomain, localhost");
    config_drop(set);
}

static void
test_folded(void **state)
{
    struct config_set *set = load_services();

    (void)state;
    assert_int_equal(config_of_service(set, "cleanup")->header_size_limit, 7);
    assert_int_equal(config_of_service(set, "rewrite")->header_size_limit,
        102400);
    assert_ptr_equal(config_of_service(set, "nosuch"), config_main(set));
    assert_string_equal(config_tag_of_service(set, "cleanup", "cleanup"),
        "postern/cleanup");
    assert_string_equal(config_tag_of_service(set, "bounce", "bounce"),
        "postern/bounce");
    config_drop(set);

    /* A listener of the same name is not meant. */
    set = load("",
        "bounce inet n - n - - smtpd -o myhostname=a\n"
        "bounce unix - - n - - bounce -o myhostname=b\n");
    assert_string_equal(config_of_service(set, "bounce")->myhostname, "b");
    config_drop(set);
}

static void
test_lmtp(void **state)
{
    struct config_set *set = load_services();
    const struct config *c = config_of_service(set, "lmtp");

    (void)state;
    assert_string_equal(c->smtp_helo_name, "lhlo.example");
    assert_int_equal(c->smtp_connect_timeout, 7000);
    assert_int_equal(config_main(set)->smtp_connect_timeout, 30000);
    assert_string_equal(c->smtp_tcp_port, "24");
    assert_string_equal(config_get(c, "smtp_tcp_port"), "24");
    config_drop(set);
}

static void
test_transports(void **state)
{
    struct config_set *set = load_services();

    (void)state;
    assert_int_equal(config_transport_number(set, "slow",
                         "destination_concurrency_limit", -1),
        3);
    assert_int_equal(config_transport_number(set, "local",
                         "destination_concurrency_limit", -1),
        2);
    assert_int_equal(config_transport_number(set, "maildrop",
                         "destination_concurrency_limit", -1),
        20);
    assert_int_equal(config_transport_number(set, "local",
                         "destination_recipient_limit", -1),
        1);
    assert_int_equal(config_transport_number(set, "slow",
                         "destination_recipient_limit", -1),
        11);
    /* The scheduler's line has the last word. */
    assert_int_equal(config_transport_time(set, "slow",
                         "destination_rate_delay", -1),
        2000);
    assert_int_equal(config_transport_time(set, "local",
                         "destination_rate_delay", -1),
        500 * 1000);
    assert_int_equal(config_transport_time(set, "maildrop", "time_limit", -1),
        1000 * 1000);
    assert_string_equal(config_transport_text(set, "slow",
                            "destination_concurrency_positive_feedback", "x"),
        "1");
    assert_int_equal(config_transport_number(set, "slow", "nosuch", -1), -1);
    assert_string_equal(config_transport_text(set, "slow", "nosuch", "x"), "x");
    config_drop(set);
}

static const struct {
    const char *line, *error;
} bad_masters[] = {
    { "x", "line 1: missing \"type\" field" },
    { "x unix - - - - - \n", "missing \"command\" field" },
    { "x foo - - - - - smtp", "bad \"type\" field: \"foo\"" },
    { "x unix z - - - - smtp", "bad \"private\" field" },
    { "x unix - yes - - - smtp", "bad \"unprivileged\" field" },
    { "x unix - - - 1x - smtp", "bad \"wakeup\" field" },
    { "x unix - - - ? - smtp", "bad \"wakeup\" field" },
    { "x unix - - - - -1 smtp", "bad \"process_limit\" field" },
    { "x unix - - - - 99999999999 smtp", "bad \"process_limit\" field" },
    { "x unix - - - - - {smtp}", "bad \"command\" field" },
    { "x unix - - - - - smtp -o", "-o needs name=value" },
    { "x unix - - - - - smtp -o a", "-o needs name=value" },
    { "x unix - - - - - smtp -o {a b=c}", "-o needs name=value" },
    { "x unix - - - - - smtp -o =c", "-o needs name=value" },
    { "x unix - - - - - smtp -o {a=b}c", "bad braces" },
    { "x unix - - - - - smtp -o {a=b", "bad braces" },
    { "x unix - - - - - smtp -z", "unknown option \"-z\"" },
};

static void
test_bad_masters(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_masters) / sizeof(bad_masters[0]); i++) {
        struct config_set *set;
        struct why why = { 0 };

        print_message("  %s\n", bad_masters[i].line);
        assert_int_equal(config_from_text("", bad_masters[i].line, &set, &why),
            RESULT_PERMFAIL);
        if (strstr(why.text, bad_masters[i].error) == NULL)
            fail_msg("%s", why.text);
    }
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
        cmocka_unit_test(test_services),
        cmocka_unit_test(test_folded),
        cmocka_unit_test(test_lmtp),
        cmocka_unit_test(test_transports),
        cmocka_unit_test(test_bad_masters),
        cmocka_unit_test(test_installed),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_nearest),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
