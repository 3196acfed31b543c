#include "cmd/postern/control.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/daemon/command.h"
#include "lib/daemon/install.h"
#include "lib/daemon/lock.h"
#include "lib/io/sock.h"
#include "lib/ipc/link.h"
#include "lib/mail/queue_control.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    CONNECT_MS = 5 * 1000,
    STATUS_MS = 10 * 1000,
    RELOAD_MS = 60 * 1000,
    STOP_MS = 60 * 1000, /* a drain takes less; after it SIGKILL */
    KILL_MS = 10 * 1000,
    FAILED = 1, /* exit status, as postfix(1)'s */
};

/* The master in our place: it says when the start is done. */
static int
become_master(const struct control *c, const char *option)
{
    char *path = install_daemon(c->config, "master");
    char *argv[] = { mem_text("master"), mem_text("-c"), mem_text(c->directory),
        option == NULL ? NULL : mem_text(option), NULL };

    execv(path, argv);
    command_fail(EX_OSERR, "cannot run %s: %s", path, strerror(errno));
}

static bool
running(const struct control *c)
{
    pid_t pid;

    return lock_is_held(c->config->queue_directory, &pid);
}

static int
start(const struct control *c, const char *option)
{
    if (running(c))
        command_fail(FAILED, "the Postern mail system is already running");
    command_say(LOG_LEVEL_INFO, "starting the Postern mail system");
    return become_master(c, option);
}

int
control_start(const struct control *c)
{
    return start(c, NULL);
}

int
control_start_fg(const struct control *c)
{
    return start(c, "-d");
}

int
control_check(const struct control *c)
{
    return become_master(c, "-t");
}

int
control_status(const struct control *c)
{
    pid_t pid;

    if (!lock_is_held(c->config->queue_directory, &pid)) {
        fprintf(stderr, "postern: the Postern mail system is not running\n");
        return 1;
    }
    if (pid > 0)
        fprintf(stderr,
            "postern: the Postern mail system is running: PID: %ld\n",
            (long)pid);
    else
        fprintf(stderr, "postern: the Postern mail system is running\n");
    return EX_OK;
}

static enum result
read_answer(const struct msg_in *in, struct why *why)
{
    struct slice rest = in->body;
    uint64_t result = RESULT_PERMFAIL;
    struct tlv t;

    while (tlv_next(&rest, &t)) {
        if (t.tag == ATTR_RESULT && !tlv_u64(t.value, RESULT_PERMFAIL, &result))
            result = RESULT_PERMFAIL;
        else if (t.tag == ATTR_TEXT)
            (void)why_temp(why, "4.3.0", SLICE_FMT, SLICE_ARG(t.value));
    }
    return (enum result)result;
}

/*
 * Relative to queue_directory, whose own path may be longer than a socket's
 * name can be.
 */
static enum result
ask_master(const struct control *c, enum message type, int64_t ms,
    struct why *why)
{
    int64_t now = clock_now_ms();
    struct sock_addr addr;
    struct msg_in *in = NULL;
    struct msg m;
    enum result res;
    int fd;

    if (chdir(c->config->queue_directory) < 0 ||
        !sock_addr_unix("pid/master.socket", &addr))
        return why_errno(why, "%s", c->config->queue_directory);
    res = sock_connect(&addr, NULL, now + CONNECT_MS, &fd, why);
    if (res != RESULT_OK)
        return res;
    msg_init(&m, type);
    res = wire_send(fd, &m, 1, now + ms, why);
    if (res == RESULT_OK)
        res = wire_recv(fd, now + ms, &in, why);
    if (res == RESULT_OK)
        res = read_answer(in, why);
    msg_in_free(in);
    close(fd);
    return res;
}

static void
need_running(const struct control *c)
{
    if (!running(c))
        command_fail(FAILED, "the Postern mail system is not running");
}

/* Others than root and who started it reach neither its socket nor it. */
static void
check_right(const struct why *why)
{
    if (why->sys == EACCES && geteuid() != 0)
        command_fail(FAILED,
            "this command is reserved for the superuser, and for the user "
            "who started the mail system");
}

static void
signal_master(const struct control *c, int number)
{
    pid_t pid;

    if (lock_is_held(c->config->queue_directory, &pid) && pid > 0)
        (void)kill(pid, number);
}

/* Told by socket, else by signal; at the end by force. */
static int
end_instance(const struct control *c, enum message type, const char *doing)
{
    struct why why;

    need_running(c);
    command_say(LOG_LEVEL_INFO, "%s the Postern mail system", doing);
    if (ask_master(c, type, STATUS_MS, &why) != RESULT_OK) {
        check_right(&why);
        signal_master(c, type == MESSAGE_INSTANCE_ABORT ? SIGKILL : SIGTERM);
    }
    if (lock_wait_gone(c->config->queue_directory, clock_now_ms() + STOP_MS,
            &why) == RESULT_OK)
        return EX_OK;
    signal_master(c, SIGKILL); /* its children end with it */
    if (lock_wait_gone(c->config->queue_directory, clock_now_ms() + KILL_MS,
            &why) != RESULT_OK)
        command_fail(FAILED, "%s", why.text);
    return EX_OK;
}

int
control_stop(const struct control *c)
{
    return end_instance(c, MESSAGE_INSTANCE_STOP, "stopping");
}

int
control_abort(const struct control *c)
{
    return end_instance(c, MESSAGE_INSTANCE_ABORT, "aborting");
}

int
control_reload(const struct control *c)
{
    struct why why;

    need_running(c);
    command_say(LOG_LEVEL_INFO, "refreshing the Postern mail system");
    if (ask_master(c, MESSAGE_INSTANCE_RELOAD, RELOAD_MS, &why) != RESULT_OK) {
        check_right(&why);
        command_fail(FAILED, "reload: %s", why.text);
    }
    return EX_OK;
}

int
control_reopen_log(const struct control *c)
{
    struct why why;

    if (running(c) &&
        ask_master(c, MESSAGE_INSTANCE_REOPEN, STATUS_MS, &why) != RESULT_OK)
        command_fail(FAILED, "logrotate: %s", why.text);
    return EX_OK;
}

int
control_flush(const struct control *c)
{
    struct queue_request *request;
    struct queue_done done;
    enum queue_reach reach;
    struct msg m;
    struct why why;
    enum result res;
    int fd;

    need_running(c);
    if (queue_control_open(c->set, &reach, &fd, &why) != RESULT_OK)
        command_fail(FAILED, "flush: %s", why.text);
    request = mem_alloc(sizeof(*request));
    request->task = QUEUE_FLUSH_ALL;
    msg_init(&m, MESSAGE_QUEUE_FLUSH);
    queue_request_encode(request, &m);
    mem_free(request);
    res = queue_control_ask(fd, &m, NULL, NULL, &done, &why);
    queue_control_close(fd);
    if (res == RESULT_OK)
        res = done.result;
    else
        done.why = why;
    if (res != RESULT_OK)
        command_fail(FAILED, "flush: %s", done.why.text);
    return EX_OK;
}
