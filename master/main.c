/*
 * master - runs the daemons of one instance: opens their sockets, spawns, links
 * and watches them, and is where start, reload and stop happen.
 *
 *     master -c DIR       in the background; returns when all of it serves
 *     master -c DIR -d    in the foreground, also as process 1
 *     master -c DIR -t    check the configuration and the directories, and
 *                         ask the daemons what they think of it
 *
 * Run by the postern command.
 */
#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "master/complaints.h"
#include "master/console.h"
#include "master/directories.h"
#include "master/instance.h"
#include "master/signals.h"
#include "master/spawn.h"
#include "master/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum mode { MODE_BACKGROUND, MODE_FOREGROUND, MODE_CHECK };

/* The master itself. */
static struct {
    struct instance instance;
    struct complaints complaints;
    int started; /* who started us reads one octet here; -1: nobody */
    bool ending;
    int exit_status;
} self;

/* On standard error as long as somebody looks at it, and in the log. */
static void
fail(const char *text)
{
    log_fatal("%s", text);
    log_flush();
    if (self.started >= 0)
        dprintf(STDERR_FILENO, "postern: fatal: %s\n", text);
}

/* Tell who waits for the start, and let go of the terminal. */
static void
leave_starter(void)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (self.started < 0)
        return;
    if (write(self.started, "", 1) < 0)
        log_warning("the start command is gone");
    close(self.started);
    self.started = -1;
    for (int fd = 0; null >= 0 && fd <= STDERR_FILENO; fd++)
        (void)dup2(null, fd);
}

static void
end(int exit_status)
{
    self.exit_status = exit_status;
    console_close();
    log_flush();
    sched_stop();
}

static void
start_main(void *arg)
{
    struct why why;

    (void)arg;
    if (instance_start(&self.instance, &why) == RESULT_OK) {
        leave_starter();
        return;
    }
    if (self.ending)
        return; /* told to stop before it was up */
    self.ending = true;
    fail(why.text);
    instance_stop(&self.instance);
    end(EX_UNAVAILABLE);
}

static void
stop_main(void *arg)
{
    (void)arg;
    instance_stop(&self.instance);
    end(EX_OK);
}

static void
on_signal(void *context, enum signal_event event)
{
    struct why why;

    (void)context;
    switch (event) {
    case SIGNAL_CHILD:
        pools_reap(&self.instance.pools);
        break;
    case SIGNAL_RELOAD:
        if (instance_reload(&self.instance, &why) != RESULT_OK)
            log_error("reload failed: %s", why.text);
        break;
    case SIGNAL_REOPEN:
        if (instance_reopen_log(&self.instance, &why) != RESULT_OK)
            log_error("%s", why.text);
        break;
    case SIGNAL_STOP:
        if (self.ending)
            break;
        self.ending = true;
        log_info("terminating on signal 15");
        if (fiber_spawn("stop", stop_main, NULL) == NULL)
            end(EX_OSERR);
        break;
    }
}

/* The command waits for the lock after our answer to a stop. */
static enum result
on_console(void *context, enum console_verb verb, unsigned *count,
    struct why *why)
{
    enum result res;

    (void)context;
    *count = pools_count(&self.instance.pools);
    switch (verb) {
    case CONSOLE_STATUS:
        break;
    case CONSOLE_RELOAD:
        res = instance_reload(&self.instance, why);
        if (res != RESULT_OK)
            log_error("reload failed: %s", why->text);
        return res;
    case CONSOLE_REOPEN:
        return instance_reopen_log(&self.instance, why);
    case CONSOLE_STOP:
        on_signal(NULL, SIGNAL_STOP);
        break;
    case CONSOLE_ABORT:
        self.ending = true;
        log_info("aborting the mail system");
        instance_abort(&self.instance);
        end(EX_OK);
        break;
    }
    return RESULT_OK;
}

static void
raise_limits(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    (void)umask(022);
}

/* Does not return to main() before the instance has ended. */
static int
serve(const char *directory, struct config_set *set, enum mode mode)
{
    struct why why = { .text = "" };

    raise_limits();
    sched_open();
    if (!signals_open(on_signal, NULL))
        return EX_OSERR;
    if (instance_open(&self.instance, directory, set, mode == MODE_FOREGROUND,
            &why) != RESULT_OK ||
        console_open(on_console, NULL, &why) != RESULT_OK) {
        complaints_log(&self.complaints);
        fail(why.text);
        return EX_UNAVAILABLE;
    }
    complaints_log(&self.complaints);
    if (fiber_spawn("start", start_main, NULL) == NULL)
        return EX_OSERR;
    sched_run();
    log_flush();
    return self.exit_status;
}

/*
 * The child becomes the master; we wait until it says that it serves, and
 * pass on its exit status when it ends before that.
 */
static void
go_to_background(void)
{
    int fds[2], status;
    char octet;
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        perror("postern: fatal: fork");
        exit(EX_OSERR);
    }
    if (pid == 0) {
        close(fds[0]);
        self.started = fds[1];
        (void)setsid();
        return;
    }
    close(fds[1]);
    if (read(fds[0], &octet, 1) == 1)
        exit(EX_OK);
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
        WEXITSTATUS(status) != EX_OK)
        exit(WEXITSTATUS(status));
    exit(EX_UNAVAILABLE);
}

static int
check(const char *directory, const struct config_set *set)
{
    const struct config *config = config_main(set);
    struct rights rights;
    struct why why;
    bool good;

    complaints_log(&self.complaints);
    if (rights_find(config, &rights, &why) != RESULT_OK ||
        logfile_check(config, &why) != RESULT_OK) {
        log_fatal("%s", why.text);
        return EX_CONFIG;
    }
    if (rights.root && !rights.queue_apart)
        log_warning("queue_owner is mail_owner: whoever takes over smtpd or "
                    "smtp can read and change all queued mail; make a user "
                    "postern-queue");
    directories_check(config, &rights);
    good = sockets_check(set);
    spawn_clean_environment(config, directory);
    return trial_run(set, &rights) && good ? EX_OK : EX_CONFIG;
}

static void
usage(void)
{
    fprintf(stderr, "usage: master [-c config_directory] [-d | -t]\n");
    exit(EX_USAGE);
}

static int
run(const char *directory, enum mode mode)
{
    struct config_set *set;
    struct why why;
    int status;

    complaints_init(&self.complaints);
    if (config_load(directory, complaints_add, &self.complaints, &set, &why) !=
        RESULT_OK) {
        complaints_log(&self.complaints);
        log_fatal("%s", why.text);
        return EX_CONFIG;
    }
    if (mode == MODE_CHECK) {
        status = check(directory, set);
        config_drop(set);
        return status;
    }
    spawn_clean_environment(config_main(set), directory);
    if (mode == MODE_BACKGROUND)
        go_to_background();
    return serve(directory, set, mode);
}

int
main(int argc, char **argv)
{
    const char *directory = config_default_directory();
    enum mode mode = MODE_BACKGROUND;
    char *full;
    int option, status;

    self.started = -1;
    log_set_tag("postern/master");
    while ((option = getopt(argc, argv, "c:dt")) != -1) {
        if (option == 'c')
            directory = optarg;
        else if (option == 'd')
            mode = MODE_FOREGROUND;
        else if (option == 't')
            mode = MODE_CHECK;
        else
            usage();
    }
    if (optind < argc)
        usage();
    /* Absolute, since we change our directory; which also outlives getenv(). */
    full = realpath(directory, NULL);
    if (full == NULL) {
        log_fatal("configuration directory %s: %s", directory, strerror(errno));
        return EX_CONFIG;
    }
    status = run(full, mode);
    mem_free(full);
    complaints_fini(&self.complaints);
    return status;
}
