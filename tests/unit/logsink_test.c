#include "lib/io/logsink.h"

#include "lib/base/log.h"
#include "tests/unit/fibers.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* 7 March 2026, 09:05:03 UTC. */
#define WALL_US (INT64_C(1772874303) * 1000000)

static char dir[] = "/tmp/postern-log-XXXXXX";

static const char *
path_of(const char *name)
{
    static char paths[2][100];
    static unsigned turn;
    char *path = paths[turn++ % 2];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
    return path;
}

/* The whole file, with "PID" for our process id. */
static const char *
content(const char *name)
{
    static char text[400000];
    char pid[32];
    FILE *f = fopen(path_of(name), "r");
    size_t n = f == NULL ? 0 : fread(text, 1, sizeof(text) - 1, f);
    char *at;

    text[n] = '\0';
    if (f != NULL)
        (void)fclose(f);
    (void)snprintf(pid, sizeof(pid), "[%ld]", (long)getpid());
    while ((at = strstr(text, pid)) != NULL) {
        memcpy(at, "[PID]", 5);
        memmove(at + 5, at + strlen(pid), strlen(at + strlen(pid)) + 1);
    }
    return text;
}

static void
open_file(const char *name)
{
    struct why why;

    clock_set(NOW, WALL_US);
    logsink_set_host("mx");
    assert_int_equal(logsink_open(LOGSINK_FILE, path_of(name), NULL, &why),
        RESULT_OK);
}

#define HEAD "Mar  7 09:05:03 mx postern/test[PID]: "

static void
test_format(void **state)
{
    (void)state;
    open_file("format");
    log_info("one");
    log_warning("two\nforged");
    log_write(LOG_LEVEL_ERROR, "postfix/smtpd", "three");
    clock_set(NOW, WALL_US + INT64_C(8 * 86400) * 1000000);
    log_fatal("four");
    assert_string_equal(content("format"),
        HEAD "one\n" HEAD "warning: two?forged\n"
             "Mar  7 09:05:03 mx postfix/smtpd[PID]: error: three\n"
             "Mar 15 09:05:03 mx postern/test[PID]: fatal: four\n");
}

static void
test_refused(void **state)
{
    struct why why;

    (void)state;
    open_file("kept");
    assert_int_equal(logsink_open(LOGSINK_FILE, path_of("no/such"), NULL, &why),
        RESULT_TEMPFAIL);
    assert_int_equal(why.sys, ENOENT);
    assert_int_equal(logsink_open(LOGSINK_SYSLOG, NULL, "male", &why),
        RESULT_PERMFAIL);
    assert_non_null(strstr(why.text, "male"));
    log_info("still here");
    assert_string_equal(content("kept"), HEAD "still here\n");
}

/* Gathering */

static void
log_and_look(void *arg)
{
    (void)arg;
    log_info("first");
    note(content("turn")[0] == '\0' ? "gathered " : "written ");
    fiber_yield();
    note(content("turn")[0] == '\0' ? "gathered " : "written ");
    log_info("second");
    note(strstr(content("turn"), "second") == NULL ? "gathered " : "written ");
    log_flush();
    note(strstr(content("turn"), "second") == NULL ? "gathered " : "written ");
    log_fatal("third");
    note(strstr(content("turn"), "third") == NULL ? "gathered " : "written ");
    log_info("fourth");
}

static void
test_gathered_for_a_turn(void **state)
{
    (void)state;
    open_file("turn");
    spawn(log_and_look, NULL);
    sched_run();
    assert_string_equal(notes, "gathered written gathered written written ");
    assert_string_equal(content("turn"),
        HEAD "first\n" HEAD "second\n" HEAD "fatal: third\n" HEAD "fourth\n");
    log_info("fifth"); /* outside of the loop */
    assert_non_null(strstr(content("turn"), "fifth"));
}

static void
log_much(void *arg)
{
    for (unsigned i = 0; i < 1000; i++)
        log_info("%s %04u %0150d", (const char *)arg, i, 0);
}

static unsigned
count(const char *text, const char *what)
{
    unsigned n = 0;

    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static void
test_much_in_one_turn(void **state)
{
    char name[] = "much";

    (void)state;
    open_file("much");
    spawn(log_much, name);
    sched_run();
    assert_int_equal(count(content("much"), "\n"), 1000);
    assert_int_equal(count(content("much"), "lost"), 0);
    assert_non_null(strstr(content("much"), "much 0999 "));
}

static void *
log_from_thread(void *arg)
{
    for (unsigned i = 0; i < 100; i++)
        log_info("%s %u.", (const char *)arg, i);
    return NULL;
}

static void
test_threads(void **state)
{
    static char names[3][8] = { "red", "green", "blue" };
    pthread_t threads[3];

    (void)state;
    open_file("threads");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, log_from_thread,
                             names[i]),
            0);
    for (unsigned i = 0; i < 3; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(count(content("threads"), HEAD), 300);
    assert_int_equal(count(content("threads"), "red 99.\n"), 1);
    assert_int_equal(count(content("threads"), "green 99.\n"), 1);
    assert_int_equal(count(content("threads"), "blue 99.\n"), 1);
}

/* Rotation */

static void
test_reopen(void **state)
{
    (void)state;
    open_file("now");
    log_info("one");
    assert_int_equal(rename(path_of("now"), path_of("then")), 0);
    log_info("two");
    logsink_reopen();
    log_info("three");
    assert_string_equal(content("then"), HEAD "one\n" HEAD "two\n");
    assert_string_equal(content("now"), HEAD "three\n");
}

static void
test_reopen_fails(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("sub"), 0700), 0);
    open_file("sub/log");
    assert_int_equal(rename(path_of("sub"), path_of("gone")), 0);
    logsink_reopen();
    log_info("to the old one");
    assert_string_equal(content("gone/log"), HEAD "to the old one\n");
    assert_int_equal(unlink(path_of("gone/log")), 0);
    assert_int_equal(rmdir(path_of("gone")), 0);
}

static void
test_take_fd(void **state)
{
    int fd = open(path_of("taken"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
        0600);

    (void)state;
    open_file("other");
    logsink_take_fd(fd, NULL);
    log_info("one");
    logsink_reopen(); /* nothing to open */
    log_info("two");
    assert_string_equal(content("taken"), HEAD "one\n" HEAD "two\n");
}

/* Where it cannot be written */

static void
test_device_full(void **state)
{
    struct why why;

    (void)state;
    open_file("after");
    if (logsink_open(LOGSINK_FILE, "/dev/full", NULL, &why) != RESULT_OK)
        skip();
    log_info("one");
    log_info("two");
    open_file("after");
    log_info("three");
    log_info("four");
    assert_string_equal(content("after"),
        HEAD "warning: 2 log lines were lost: No space left on device\n" HEAD
             "three\n" HEAD "four\n");
}

/* Half a line fits. The next one starts on a line of its own. */
static void
test_torn_line(void **state)
{
    struct rlimit limit, small;
    size_t len;

    (void)state;
    open_file("torn");
    log_info("one");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    len = strlen(HEAD "one\n") + strlen("[]") + 8;
    small = limit;
    small.rlim_cur = len + 20;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    log_info("a line that is too long for the space that is left");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    (void)signal(SIGXFSZ, SIG_DFL);
    log_info("two");
    assert_non_null(strstr(content("torn"),
        "\n" HEAD "warning: 1 log lines were lost: File too large\n" HEAD
        "two\n"));
    assert_memory_equal(content("torn"), HEAD "one\nMar  7 0",
        strlen(HEAD "one\nMar  7 0"));
    assert_int_equal(count(content("torn"), "left"), 0);
}

/* A pipe that nobody reads from costs a moment, not the process. */
static void
test_stuck_reader(void **state)
{
    static char octets[100000];
    size_t n = 0;
    ssize_t got;
    int fds[2];

    (void)state;
    open_file("unstuck");
    clock_unset();
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    logsink_take_fd(fds[1], NULL);
    for (unsigned i = 0; i < 600; i++)
        log_info("%0200u", i);
    while ((got = read(fds[0], octets + n, sizeof(octets) - 1 - n)) > 0)
        n += (size_t)got;
    log_info("moving again");
    while ((got = read(fds[0], octets + n, sizeof(octets) - 1 - n)) > 0)
        n += (size_t)got;
    assert_non_null(strstr(octets, " log lines were lost: "));
    assert_non_null(strstr(octets, "moving again\n"));
    assert_int_equal(octets[n - 1], '\n');
    (void)close(fds[0]);
    open_file("unstuck");
}

/* Processes */

static void
test_fork(void **state)
{
    char child_line[100];
    int status = 1;
    pid_t pid;

    (void)state;
    open_file("fork");
    log_info("parent");
    pid = fork();
    if (pid == 0) {
        log_info("child");
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    (void)snprintf(child_line, sizeof(child_line),
        HEAD "parent\nMar  7 09:05:03 mx postern/test[%ld]: child\n",
        (long)pid);
    assert_string_equal(content("fork"), child_line);
}

static void
log_and_fork(void *arg)
{
    int *status = arg;
    pid_t pid;

    log_info("once");
    pid = fork();
    if (pid == 0) {
        log_flush();
        _exit(0);
    }
    (void)waitpid(pid, status, 0);
}

/* What the parent has gathered is the parent's to write. */
static void
test_fork_within_turn(void **state)
{
    int status = 1;

    (void)state;
    open_file("fork2");
    spawn(log_and_fork, &status);
    sched_run();
    assert_int_equal(status, 0);
    assert_string_equal(content("fork2"), HEAD "once\n");
}

/* Standard output, in a process of its own */

static void
test_stdout(void **state)
{
    int status = 1, fd;
    struct why why;
    pid_t pid;

    (void)state;
    open_file("unused");
    pid = fork();
    if (pid == 0) {
        fd = open(path_of("stdout"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        (void)dup2(fd, STDOUT_FILENO);
        if (logsink_open(LOGSINK_STDOUT, NULL, NULL, &why) != RESULT_OK)
            _exit(1);
        log_info("one");
        logsink_reopen();
        log_info("two");
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(count(content("stdout"), ": one\n"), 1);
    assert_int_equal(count(content("stdout"), ": two\n"), 1);
}

/* Syslog */

static int
syslog_server(void)
{
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path_of("dev"));
    (void)unlink(addr.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static void
assert_datagram(int fd, const char *priority, const char *text)
{
    char got[1000], want[1000];
    ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

    assert_true(n > 0);
    got[n] = '\0';
    (void)snprintf(want, sizeof(want),
        "<%s>Mar  7 09:05:03 postern/test[%ld]: %s", priority, (long)getpid(),
        text);
    assert_string_equal(got, want);
}

static void
test_syslog(void **state)
{
    int server = syslog_server();
    struct why why;
    char octet;

    (void)state;
    clock_set(NOW, WALL_US);
    assert_int_equal(logsink_open(LOGSINK_SYSLOG, path_of("dev"), "mail", &why),
        RESULT_OK);
    log_info("one");
    assert_datagram(server, "22", "one");
    log_warning("two");
    assert_datagram(server, "20", "warning: two");
    log_write(LOG_LEVEL_ERROR, NULL, "three");
    assert_datagram(server, "19", "error: three");
    log_fatal("four");
    assert_datagram(server, "18", "fatal: four");

    (void)close(server); /* is started again */
    server = syslog_server();
    log_info("five");
    assert_datagram(server, "22", "five");

    (void)close(server); /* is gone for a while */
    log_info("six");
    log_info("seven");
    server = syslog_server();
    log_info("eight");
    assert_datagram(server, "20",
        "warning: 2 log lines were lost: Connection refused");
    assert_datagram(server, "22", "eight");

    assert_int_equal(logsink_open(LOGSINK_SYSLOG, path_of("dev"), "local7",
                         &why),
        RESULT_OK);
    log_info("nine");
    assert_datagram(server, "190", "nine");
    assert_int_equal(recv(server, &octet, 1, 0), -1);
    (void)close(server);
}

/* Many at once: the socket's queue is short. */
static void
test_syslog_full(void **state)
{
    int server = syslog_server();
    char got[1000];
    unsigned n = 0;
    struct why why;

    (void)state;
    clock_set(NOW, WALL_US);
    assert_int_equal(logsink_open(LOGSINK_SYSLOG, path_of("dev"), "mail", &why),
        RESULT_OK);
    for (unsigned i = 0; i < 2000; i++)
        log_info("line %u", i);
    while (recv(server, got, sizeof(got), 0) > 0)
        n++;
    assert_in_range(n, 1, 1999);
    log_info("last");
    (void)snprintf(got, sizeof(got),
        "warning: %u log lines were lost: Resource temporarily unavailable",
        2000 - n);
    assert_datagram(server, "20", got);
    assert_datagram(server, "22", "last");
    (void)close(server);
}

static int
make_dir(void **state)
{
    (void)state;
    (void)setenv("TZ", "UTC0", 1);
    log_set_tag("postern/test");
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
remove_dir(void **state)
{
    static const char *const names[] = { "format", "kept", "turn", "much",
        "threads", "now", "then", "taken", "other", "after", "torn", "unstuck",
        "fork", "fork2", "unused", "stdout", "dev" };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unlink(path_of(names[i]));
    return rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        FIBER_TEST(test_format),
        FIBER_TEST(test_refused),
        FIBER_TEST(test_gathered_for_a_turn),
        FIBER_TEST(test_much_in_one_turn),
        FIBER_TEST(test_threads),
        FIBER_TEST(test_reopen),
        FIBER_TEST(test_reopen_fails),
        FIBER_TEST(test_take_fd),
        FIBER_TEST(test_device_full),
        FIBER_TEST(test_torn_line),
        FIBER_TEST(test_stuck_reader),
        FIBER_TEST(test_fork),
        FIBER_TEST(test_fork_within_turn),
        FIBER_TEST(test_stdout),
        FIBER_TEST(test_syslog),
        FIBER_TEST(test_syslog_full),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
