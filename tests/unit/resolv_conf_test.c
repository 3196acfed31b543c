#include "lookup/resolv_conf.h"

#include "lib/base/clock.h"
#include "lib/io/sock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
    const char *text;
    size_t count;
    const char *first;
    unsigned port;
    int64_t timeout_ms;
    unsigned attempts;
} confs[] = {
    { "", 0, NULL, 0, 5000, 2 },
    { "nameserver 127.0.0.1\n", 1, "127.0.0.1", 53, 5000, 2 },
    { "# x\nnameserver\t::1 # x\nnameserver 192.0.2.1", 2, "::1", 53, 5000, 2 },
    { "nameserver 127.0.0.1@5353\noptions timeout:1 attempts:9 rotate\n", 1,
        "127.0.0.1", 5353, 1000, 5 },
    { "nameserver [::1]:54\noptions timeout:0\n", 1, "::1", 54, 1000, 2 },
    { "nameserver example.com\nnameserver 1.2.3.4@\nnameserver\n", 0, NULL, 0,
        5000, 2 },
    { "nameserver 1.2.3.4@99999\nsearch a b\ndomain c\n", 0, NULL, 0, 5000, 2 },
};

static void
test_resolv_conf(void **state)
{
    struct resolv_conf conf;
    struct why why;
    char text[SOCK_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(confs) / sizeof(confs[0]); i++) {
        resolv_conf_parse(slice_of(confs[i].text), &conf);
        assert_int_equal(conf.count, confs[i].count);
        assert_int_equal(conf.timeout_ms, confs[i].timeout_ms);
        assert_int_equal(conf.attempts, confs[i].attempts);
        if (conf.count == 0)
            continue;
        assert_string_equal(sock_addr_text(&conf.servers[0], text),
            confs[i].first);
        assert_int_equal(sock_addr_port(&conf.servers[0]), confs[i].port);
    }
    assert_int_equal(resolv_conf_parse_list(SLICE_LIT("127.0.0.1@5, [::1]"),
                         &conf, &why),
        RESULT_OK);
    assert_int_equal(conf.count, 2);
    assert_int_equal(resolv_conf_parse_list(SLICE_LIT("127.0.0.1,x"), &conf,
                         &why),
        RESULT_PERMFAIL);
}

/* A file that comes, changes and goes is noticed, at most once a second. */
static void
test_resolv_file(void **state)
{
    char path[] = "/tmp/postern-resolv-XXXXXX";
    int fd = mkstemp(path);
    struct resolv_file file = { .path = path };

    (void)state;
    assert_true(fd >= 0);
    clock_set(1000000, 0);
    assert_true(resolv_file_check(&file));
    assert_int_equal(file.conf.count, 0);
    assert_int_equal(write(fd, "nameserver 127.0.0.1\n", 21), 21);
    assert_false(resolv_file_check(&file));
    clock_advance_ms(1000);
    assert_true(resolv_file_check(&file));
    assert_int_equal(file.conf.count, 1);
    clock_advance_ms(1000);
    assert_false(resolv_file_check(&file));
    unlink(path);
    clock_advance_ms(1000);
    assert_true(resolv_file_check(&file));
    assert_int_equal(file.conf.count, 0);
    clock_unset();
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolv_conf),
        cmocka_unit_test(test_resolv_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
