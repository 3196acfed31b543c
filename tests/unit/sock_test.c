#include "lib/io/sock.h"

#include "lib/base/mem.h"
#include "tests/unit/fibers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Addresses */

static const struct {
    const char *in, *text; /* NULL: refused */
    bool loopback;
} addresses[] = {
    { "192.0.2.1", "192.0.2.1", false },
    { "127.0.0.1", "127.0.0.1", true },
    { "127.9.9.9", "127.9.9.9", true },
    { "2001:db8::1", "2001:db8::1", false },
    { "2001:DB8:0::1", "2001:db8::1", false },
    { "IPv6:2001:db8::1", "2001:db8::1", false },
    { "ipv6:::1", "::1", true },
    { "::1", "::1", true },
    { "::ffff:192.0.2.7", "192.0.2.7", false },
    { "::ffff:127.0.0.1", "127.0.0.1", true },
    { "0.0.0.0", "0.0.0.0", false },
    { "::", "::", false },
    { "", NULL, false },
    { "IPv6:", NULL, false },
    { "192.0.2", NULL, false },
    { "192.0.2.256", NULL, false },
    { "192.0.2.1 ", NULL, false },
    { "[192.0.2.1]", NULL, false },
    { "example.org", NULL, false },
    { "2001:db8::1::2", NULL, false },
    { "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb", NULL, false },
};

static void
test_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        char text[SOCK_TEXT_MAX];
        struct sock_addr addr;
        bool good = sock_addr_parse(slice_of(addresses[i].in), 25, &addr);

        print_message("  \"%s\"\n", addresses[i].in);
        assert_int_equal(good, addresses[i].text != NULL);
        if (!good)
            continue;
        assert_string_equal(sock_addr_text(&addr, text), addresses[i].text);
        assert_int_equal(sock_addr_port(&addr), 25);
        sock_addr_set_port(&addr, 587);
        assert_int_equal(sock_addr_port(&addr), 587);
        assert_int_equal(sock_addr_is_loopback(&addr), addresses[i].loopback);
    }
    assert_false(sock_addr_parse((struct slice){ "1.2.3.4\0", 8 }, 25,
        &(struct sock_addr){ 0 }));
}

static void
test_other_addresses(void **state)
{
    struct sock_addr none = { .len = 0 }, path;
    char text[SOCK_TEXT_MAX], longest[sizeof(path.u.un.sun_path) + 1];

    (void)state;
    assert_string_equal(sock_addr_text(&none, text), "unknown");
    assert_int_equal(sock_addr_port(&none), 0);
    assert_true(sock_addr_unix("/run/x", &path));
    assert_string_equal(sock_addr_text(&path, text), "unknown");
    memset(longest, 'p', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_false(sock_addr_unix(longest, &path));
    assert_int_equal(errno, ENAMETOOLONG);
    longest[sizeof(longest) - 2] = '\0';
    assert_true(sock_addr_unix(longest, &path));
}

static const struct {
    const char *in;
    int port; /* -1: refused */
} ports[] = {
    { "25", 25 },
    { "0", 0 },
    { "65535", 65535 },
    { "65536", -1 },
    { "smtp", 25 },
    { "lmtp", 24 },
    { "submission", 587 },
    { "submissions", 465 },
    { "-1", -1 },
    { "", -1 },
    { "no-such-service", -1 },
    { "0123456789012345678901234567890123456789012345678901234567890123456789x",
        -1 },
};

static void
test_ports(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        uint16_t port = 0;
        bool good = sock_port_parse(slice_of(ports[i].in), &port);

        assert_int_equal(good ? port : -1, ports[i].port);
    }
}

/* Connections */

struct call {
    struct sock_addr to, from;
    struct why why;
    enum result result;
    int64_t deadline;
    int fd;
};

static void
call(void *arg)
{
    struct call *c = arg;

    c->fd = -1;
    c->result = sock_connect(&c->to, c->from.len == 0 ? NULL : &c->from,
        c->deadline, &c->fd, &c->why);
}

/* Where the system put a listener on port 0. */
static struct sock_addr
bound_to(int listener)
{
    struct sock_addr addr;

    memset(&addr, 0, sizeof(addr));
    addr.len = sizeof(addr.u);
    assert_int_equal(getsockname(listener, &addr.u.any, &addr.len), 0);
    return addr;
}

static void
assert_flags(int fd)
{
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

static void
check_connect(const char *host, bool in_fiber)
{
    struct call c = { .deadline = CLOCK_NEVER };
    struct sock_addr addr, peer;
    char text[SOCK_TEXT_MAX];
    struct why why;
    int listener, fd;

    assert_true(sock_addr_parse(slice_of(host), 0, &addr));
    c.from = addr;
    if (sock_listen(&addr, 10, &listener, &why) != RESULT_OK) {
        assert_int_not_equal(why.sys, EADDRINUSE);
        skip(); /* a machine without IPv6 */
    }
    assert_flags(listener);
    c.to = bound_to(listener);
    errno = 0;
    assert_int_equal(sock_accept(listener, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    if (in_fiber)
        spawn(call, &c);
    else
        call(&c);
    sched_run();
    assert_int_equal(c.result, RESULT_OK);
    assert_flags(c.fd);
    fd = sock_accept(listener, &peer);
    assert_true(fd >= 0);
    assert_flags(fd);
    assert_string_equal(sock_addr_text(&peer, text), host);
    addr = bound_to(c.fd);
    assert_int_equal(sock_addr_port(&peer), sock_addr_port(&addr));
    (void)close(fd);
    (void)close(c.fd);
    (void)close(listener);
}

static void
test_connect(void **state)
{
    (void)state;
    check_connect("127.0.0.1", true);
    check_connect("127.0.0.1", false);
}

static void
test_connect_v6(void **state)
{
    (void)state;
    check_connect("::1", true);
    check_connect("::1", false);
}

static void
test_refused(void **state)
{
    struct call c = { .deadline = CLOCK_NEVER };
    struct sock_addr addr;
    struct why why;
    int listener;

    (void)state;
    assert_true(sock_addr_parse(SLICE_LIT("127.0.0.1"), 0, &addr));
    assert_int_equal(sock_listen(&addr, 10, &listener, &why), RESULT_OK);
    c.to = bound_to(listener);
    assert_int_equal(sock_listen(&c.to, 10, &listener, &why), RESULT_TEMPFAIL);
    assert_int_equal(why.sys, EADDRINUSE);
    (void)close(listener);
    spawn(call, &c);
    sched_run();
    assert_int_equal(c.result, RESULT_TEMPFAIL);
    assert_int_equal(c.why.sys, ECONNREFUSED);
    assert_non_null(strstr(c.why.text, "127.0.0.1"));
    assert_int_equal(c.fd, -1);
}

/* Unix sockets, in a directory that the test removes */

static char dir[] = "/tmp/postern-sock-XXXXXX";

static const char *
path_of(const char *name)
{
    static char path[100];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void
test_unix(void **state)
{
    struct call c = { .deadline = CLOCK_NEVER };
    int listener, second, fd;
    struct why why;
    struct stat st;
    uid_t uid = 1;
    gid_t gid = 1;
    pid_t pid = 0;

    (void)state;
    assert_int_equal(sock_listen_unix(path_of("s"), 0640, 10, &listener, &why),
        RESULT_OK);
    assert_flags(listener);
    assert_int_equal(stat(path_of("s"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    /* Another takes its place. */
    assert_int_equal(sock_listen_unix(path_of("s"), 0600, 10, &second, &why),
        RESULT_OK);
    assert_true(sock_addr_unix(path_of("s"), &c.to));
    spawn(call, &c);
    sched_run();
    assert_int_equal(c.result, RESULT_OK);
    assert_int_equal(sock_accept(listener, NULL), -1);
    fd = sock_accept(second, NULL);
    assert_true(fd >= 0);
    assert_true(sock_peer_cred(fd, &uid, &gid, &pid));
    assert_int_equal(uid, getuid());
    assert_int_equal(gid, getgid());
    assert_int_equal(pid, getpid());
    assert_false(sock_peer_cred(-1, &uid, &gid, &pid));
    (void)close(fd);
    (void)close(c.fd);
    (void)close(listener);
    (void)close(second);
    (void)unlink(path_of("s"));
    assert_int_equal(sock_listen_unix(path_of("no/s"), 0600, 10, &fd, &why),
        RESULT_TEMPFAIL);
    assert_int_equal(why.sys, ENOENT);
}

/* Puts a link to victim in the place of each socket, till it is killed. */
static void
replace_for_ever(const char *victim, const char *name)
{
    char *link = mem_text(path_of("link"));
    struct stat st;

    for (;;) {
        if (symlink(victim, link) < 0 && errno != EEXIST)
            return;
        while (lstat(name, &st) < 0 || !S_ISSOCK(st.st_mode))
            ;
        (void)rename(link, name);
    }
}

/* The directory is another user's: nothing else may get the socket's mode. */
static void
test_unix_replaced(void **state)
{
    enum { TRIES = 2000 };
    char *victim = mem_text(path_of("victim"));
    char *name = mem_format("%s%ld", path_of("."), (long)getpid());
    struct why why;
    struct stat st;
    pid_t pid;
    int fd;

    (void)state;
    fd = open(victim, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    pid = fork();
    if (pid == 0)
        replace_for_ever(victim, name);
    for (unsigned i = 0; i < TRIES; i++) {
        int s = -1;

        if (sock_listen_unix(path_of("t"), 0666, 10, &s, &why) == RESULT_OK)
            (void)close(s);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    (void)close(fd);
    (void)unlink(victim);
    (void)unlink(name);
    (void)unlink(path_of("t"));
    (void)unlink(path_of("link"));
    mem_free(victim);
    mem_free(name);
}

/* A listener whose queue is full refuses at once; we try again. */
static void
test_unix_queue_full(void **state)
{
    struct call first = { .deadline = CLOCK_NEVER };
    struct call second = { .deadline = NOW + 100 }, third = second;
    struct why why;
    int listener, fd;

    (void)state;
    assert_int_equal(sock_listen_unix(path_of("q"), 0600, 0, &listener, &why),
        RESULT_OK);
    assert_true(sock_addr_unix(path_of("q"), &first.to));
    second.to = third.to = first.to;
    spawn(call, &first);
    spawn(call, &second);
    spawn(call, &third);
    settle();
    assert_int_equal(first.result, RESULT_OK);
    assert_int_equal(sched_count(), 2);
    fd = sock_accept(listener, NULL);
    assert_true(fd >= 0);
    advance(50);
    assert_int_equal(second.result, RESULT_OK);
    assert_true(second.fd >= 0);
    for (unsigned i = 0; i < 10; i++)
        advance(10);
    assert_int_equal(sched_count(), 0);
    assert_int_equal(third.why.sys, ETIMEDOUT);
    (void)close(fd);
    (void)close(first.fd);
    (void)close(second.fd);
    (void)close(listener);
    (void)unlink(path_of("q"));
}

/* Descriptors in messages */

static bool
same_file(int a, int b)
{
    struct stat sa, sb;

    return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_ino == sb.st_ino &&
        sa.st_dev == sb.st_dev;
}

static void
test_pass_fds(void **state)
{
    int pair[2], fds[SOCK_FDS_MAX], got[SOCK_FDS_MAX];
    unsigned count = 99;
    char octets[8];

    (void)state;
    assert_int_equal(sock_pair(pair), 0);
    for (unsigned i = 0; i < SOCK_FDS_MAX; i++)
        fds[i] = open(i % 2 == 0 ? "/dev/null" : "/dev/zero", O_RDONLY);
    errno = 0;
    assert_int_equal(sock_recv_fds(pair[1], octets, 8, got, &count), -1);
    assert_int_equal(errno, EAGAIN);
    for (unsigned n = 0; n <= SOCK_FDS_MAX; n++) {
        assert_int_equal(sock_send_fds(pair[0], SLICE_LIT("abc"), fds, n), 3);
        assert_int_equal(sock_recv_fds(pair[1], octets, 8, got, &count), 3);
        assert_int_equal(count, n);
        for (unsigned i = 0; i < n; i++) {
            assert_true(same_file(got[i], fds[i]));
            assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
            (void)close(got[i]);
        }
    }
    assert_int_equal(sock_send_fds(pair[0], SLICE_LIT("a"), fds,
                         SOCK_FDS_MAX + 1),
        -1);
    assert_int_equal(sock_send_fds(pair[0], SLICE_LIT(""), fds, 1), -1);
    (void)close(pair[0]);
    assert_int_equal(sock_recv_fds(pair[1], octets, 8, got, &count), 0);
    (void)close(pair[1]);
    for (unsigned i = 0; i < SOCK_FDS_MAX; i++)
        (void)close(fds[i]);
}

static unsigned
count_open_fds(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 200; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* More than there is room for: none is kept. */
static void
test_too_many_fds(void **state)
{
    enum { SENT = SOCK_FDS_MAX + 3 };
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(SENT * sizeof(int))];
    } control;
    char octet = 'x', octets[8];
    struct iovec iov = { &octet, 1 };
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    int pair[2], got[SOCK_FDS_MAX], fds[SENT];
    unsigned count = 99, before;

    (void)state;
    assert_int_equal(sock_pair(pair), 0);
    for (unsigned i = 0; i < SENT; i++)
        fds[i] = STDERR_FILENO;
    memset(&control, 0, sizeof(control));
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(fds));
    memcpy(CMSG_DATA(&control.head), fds, sizeof(fds));
    assert_int_equal(sendmsg(pair[0], &msg, 0), 1);
    before = count_open_fds();
    errno = 0;
    assert_int_equal(sock_recv_fds(pair[1], octets, 8, got, &count), -1);
    assert_int_equal(errno, EBADMSG);
    assert_int_equal(count, 0);
    assert_int_equal(count_open_fds(), before);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static int
make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    return rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(test_addresses),
        FIBER_TEST(test_other_addresses),
        FIBER_TEST(test_ports),
        FIBER_TEST(test_connect),
        FIBER_TEST(test_connect_v6),
        FIBER_TEST(test_refused),
        FIBER_TEST(test_unix),
        cmocka_unit_test(test_unix_replaced),
        FIBER_TEST(test_unix_queue_full),
        FIBER_TEST(test_pass_fds),
        FIBER_TEST(test_too_many_fds),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
