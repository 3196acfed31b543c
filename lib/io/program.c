#include "lib/io/program.h"

#include "lib/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SAFE_FD = 3,  /* from there on nothing stays open */
    FILES = 1024, /* what programs expect that close all that they could have */
};

/* Between fork and exec only what POSIX allows there, and prctl(). */

static void
reset_signals(void)
{
    sigset_t none;

    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        (void)signal(s, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Out of each other's way first: one of them may be another's number. */
static bool
set_descriptors(const struct program *p)
{
    const int from[] = { p->in, p->out, p->err };
    int safe[3];

    for (int i = 0; i < 3; i++) {
        int flags = fcntl(from[i], F_GETFL);

        safe[i] = fcntl(from[i], F_DUPFD, SAFE_FD);
        if (safe[i] < 0 || flags < 0 ||
            fcntl(safe[i], F_SETFL, flags & ~O_NONBLOCK) < 0)
            return false;
    }
    for (int i = 0; i < 3; i++)
        if (dup2(safe[i], i) < 0)
            return false;
    return close_range(SAFE_FD, ~0U, 0) == 0;
}

static void
set_limits(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur > FILES) {
        files.rlim_cur = FILES;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static bool
change_user(const struct program *p)
{
    return !p->change_user ||
        (p->uid != 0 && p->gid != 0 && setgroups(1, &p->gid) == 0 &&
            setresgid(p->gid, p->gid, p->gid) == 0 &&
            setresuid(p->uid, p->uid, p->uid) == 0);
}

/* exec takes what it does not change as char *. */
union words {
    const char *const *given;
    char **taken;
};

static void
become(const struct program *p, pid_t parent)
{
    union words argv = { .given = p->argv },
                environment = { .given = p->environment };

    reset_signals();
    if (setsid() < 0 || !set_descriptors(p))
        _exit(PROGRAM_NOT_RUN);
    set_limits();
    /* After the change of user, which clears it. */
    if (!change_user(p) || prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ||
        getppid() != parent)
        _exit(PROGRAM_NOT_RUN);
    environ = environment.taken; /* also for PATH: it is the program's */
    execvp(p->argv[0], argv.taken);
    _exit(PROGRAM_NOT_RUN);
}

pid_t
program_start(const struct program *p)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0)
        become(p, parent);
    return pid;
}

/* It may not have made its group yet. */
static void
end_all(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)kill(-pid, SIGKILL);
}

static enum program_end
wait_or_kill(pid_t pid, struct io_wait *wait, int64_t deadline)
{
    enum wait_result res = io_wait_readable(wait, deadline);

    if (res == WAIT_OK)
        return PROGRAM_ENDED;
    end_all(pid);
    fiber_shield();
    while (io_wait_readable(wait, CLOCK_NEVER) != WAIT_OK)
        ;
    return res == WAIT_TIMEOUT ? PROGRAM_LATE : PROGRAM_CANCELLED;
}

enum program_end
program_wait(pid_t pid, int64_t deadline, int *status)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    enum program_end end = PROGRAM_UNWATCHED;
    struct io_wait wait;
    int error = 0;

    if (fd >= 0 && io_wait_init(&wait, fd) == 0) {
        end = wait_or_kill(pid, &wait, deadline);
        io_wait_fini(&wait);
    } else {
        error = errno;
        end_all(pid);
    }
    if (fd >= 0)
        close(fd);
    *status = 0;
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        ;
    errno = error;
    return end;
}
