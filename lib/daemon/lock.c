#include "lib/daemon/lock.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/sock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MASTER_PID    "pid/master.pid"
#define CHILDREN_LOCK "pid/children.lock"
#define PUBLIC_SOCKET "public/qmgr"

enum { LOOK_MS = 5 };

static struct flock
whole_file(void)
{
    return (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_SET };
}

/*
 * Whoever can open a file can lock it, too, even for reading alone: others than
 * its owner must not, or anybody could keep the master from starting.
 */
static int
open_in(const char *directory, const char *name, int flags)
{
    char *path = mem_format("%s/%s", directory, name);
    int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);

    mem_free(path);
    if (fd >= 0 && (flags & O_CREAT) != 0)
        (void)fchmod(fd, 0600); /* it may be older than this rule */
    return fd;
}

/* What users see of a running instance. */
static bool
is_listening(const char *queue_directory)
{
    char *path = mem_format("%s/%s", queue_directory, PUBLIC_SOCKET);
    struct sock_addr addr;
    struct why why;
    bool found = false;
    int fd;

    if (sock_addr_unix(path, &addr)) {
        found = sock_connect(&addr, NULL, clock_now_ms(), &fd, &why) ==
            RESULT_OK;
        if (found)
            close(fd);
        else
            found = why.sys == ETIMEDOUT; /* its queue is full */
    }
    mem_free(path);
    return found;
}

bool
lock_is_held(const char *queue_directory, pid_t *pid)
{
    struct flock lock = whole_file();
    int fd = open_in(queue_directory, MASTER_PID, O_RDONLY);
    bool held;

    *pid = 0;
    if (fd < 0)
        return errno == EACCES && is_listening(queue_directory);
    held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (held && lock.l_pid > 0)
        *pid = lock.l_pid;
    close(fd);
    return held;
}

static void
sleep_ms(long ms)
{
    struct timespec ts = { ms / 1000, (ms % 1000) * 1000000 };

    (void)nanosleep(&ts, NULL);
}

/* The process's own lock stays as long as this descriptor is open: for ever. */
static enum result
lock_master(struct why *why)
{
    struct flock lock = whole_file();
    int fd = open_in(".", MASTER_PID, O_RDWR | O_CREAT);

    if (fd < 0)
        return why_errno(why, "open %s", MASTER_PID);
    if (fcntl(fd, F_SETLK, &lock) == 0) {
        /* The number is for people; a full disk does not stop the start. */
        if (ftruncate(fd, 0) == 0)
            (void)dprintf(fd, "%10ld\n", (long)getpid());
        return RESULT_OK;
    }
    if (errno == EACCES || errno == EAGAIN) {
        close(fd);
        return why_perm(why, "5.3.0",
            "the Postern mail system is already running");
    }
    (void)why_errno(why, "lock %s", MASTER_PID);
    close(fd);
    return RESULT_TEMPFAIL;
}

static enum result
lock_children(int fd, int64_t deadline, struct why *why)
{
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return why_errno(why, "lock %s", CHILDREN_LOCK);
        if (clock_now_ms() >= deadline)
            return why_temp(why, "4.3.0",
                "processes of the instance are still running");
        sleep_ms(LOOK_MS);
    }
    return RESULT_OK;
}

enum result
lock_take(int64_t deadline, int *children, struct why *why)
{
    enum result res = lock_master(why);
    int fd;

    if (res != RESULT_OK)
        return res;
    fd = open_in(".", CHILDREN_LOCK, O_RDWR | O_CREAT);
    if (fd < 0)
        return why_errno(why, "open %s", CHILDREN_LOCK);
    res = lock_children(fd, deadline, why);
    if (res != RESULT_OK) {
        close(fd);
        return res;
    }
    *children = fd;
    return RESULT_OK;
}

enum result
lock_wait_gone(const char *queue_directory, int64_t deadline, struct why *why)
{
    int fd;
    enum result res;
    pid_t pid;

    while (lock_is_held(queue_directory, &pid)) {
        if (clock_now_ms() >= deadline)
            return why_temp(why, "4.3.0", "the master is still running");
        sleep_ms(LOOK_MS);
    }
    fd = open_in(queue_directory, CHILDREN_LOCK, O_RDONLY);
    if (fd < 0)
        return errno == ENOENT ? RESULT_OK
                               : why_errno(why, "open %s", CHILDREN_LOCK);
    res = lock_children(fd, deadline, why);
    close(fd);
    return res;
}
