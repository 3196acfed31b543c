/*
 * mbox: lock, append, flush; what was appended is cut off again when that
 * fails, so that a mailbox never ends in half a message.
 */
#include "lib/base/mem.h"
#include "local/copy.h"
#include "local/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void
pause_ms(uint64_t ms)
{
    struct timespec ts = { .tv_sec = (time_t)(ms / 1000),
        .tv_nsec = (long)(ms % 1000) * 1000000 };

    (void)nanosleep(&ts, NULL);
}

/* A lock that nobody has touched for so long belongs to nobody. */
static void
remove_stale(const char *lock, uint64_t stale_ms)
{
    struct stat st;
    time_t age;

    if (stale_ms == 0 || lstat(lock, &st) < 0)
        return;
    age = time(NULL) - st.st_mtime;
    if (age > 0 && (uint64_t)age > stale_ms / 1000)
        (void)unlink(lock);
}

static enum result
take_dotlock(const struct mailbox_store *s, const char *lock, struct why *why)
{
    for (uint32_t i = 0; i <= s->lock_tries; i++) {
        int fd = open(lock, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        int error = errno;

        if (fd >= 0) {
            close(fd);
            return RESULT_OK;
        }
        if (errno != EEXIST)
            break;
        remove_stale(lock, s->lock_stale_ms);
        if (i < s->lock_tries)
            pause_ms(s->lock_delay_ms);
        /* Its holder may have removed it just before we looked at its age. */
        errno = error;
    }
    if (errno == EEXIST)
        return why_temp(why, "4.2.0",
            "unable to create lock file %s: File exists", lock);
    return mailbox_refusal(why, "unable to create lock file %s", lock);
}

static int
try_kernel_locks(int fd, uint32_t locks)
{
    struct flock whole = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    /* Open-file locks: those of fcntl() proper would go with any close(). */
    if ((locks & MAILBOX_LOCK_FCNTL) != 0 && fcntl(fd, F_OFD_SETLK, &whole) < 0)
        return -1;
    if ((locks & MAILBOX_LOCK_FLOCK) != 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -1;
    return 0;
}

static enum result
take_kernel_locks(int fd, const struct mailbox_store *s, struct why *why)
{
    for (uint32_t i = 0; try_kernel_locks(fd, s->locks) < 0; i++) {
        if ((errno != EAGAIN && errno != EACCES && errno != EWOULDBLOCK) ||
            i >= s->lock_tries)
            return mailbox_refusal(why, "unable to lock for exclusive access");
        pause_ms(s->lock_delay_ms);
    }
    return RESULT_OK;
}

/* No trap that somebody else laid: a link to what is not his, or a device. */
static enum result
check_mailbox(int fd, const char *path, struct why *why)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return mailbox_refusal(why, "cannot open file");
    if (!S_ISREG(st.st_mode))
        return why_perm(why, "5.2.0", "file is not a regular file");
    if (st.st_nlink != 1)
        return why_perm(why, "5.2.0", "file has %lu hard links",
            (unsigned long)st.st_nlink);
    if (st.st_uid != geteuid())
        return why_temp(why, "4.2.0",
            "destination %s is not owned by recipient", path);
    return RESULT_OK;
}

static enum result
open_mailbox(const char *path, int *fd, struct why *why)
{
    enum result res;

    *fd = open(path,
        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
        0600);
    if (*fd < 0)
        return errno == ELOOP
            ? why_perm(why, "5.2.0", "file is a symbolic link")
            : mailbox_refusal(why, "cannot open file");
    res = check_mailbox(*fd, path, why);
    if (res != RESULT_OK)
        close(*fd);
    return res;
}

static enum result
append(int fd, struct mailbox_store *s, struct why *why)
{
    enum result res;
    struct stat st;

    if (fstat(fd, &st) < 0)
        return mailbox_write_refusal(why);
    res = copy_message(s, COPY_MBOX, fd, why);
    if (res == RESULT_OK && fsync(fd) < 0)
        res = mailbox_write_refusal(why);
    if (res != RESULT_OK && ftruncate(fd, st.st_size) < 0)
        return why_errno(why, "truncate mailbox after a failed delivery");
    return res;
}

static enum result
lock_and_append(const char *path, struct mailbox_store *s, struct why *why)
{
    enum result res;
    int fd;

    res = open_mailbox(path, &fd, why);
    if (res != RESULT_OK)
        return res;
    res = take_kernel_locks(fd, s, why);
    if (res == RESULT_OK)
        res = append(fd, s, why);
    close(fd);
    return res;
}

enum result
mbox_store(struct mailbox_store *s, struct why *why)
{
    char *path = mem_text_of(s->path);
    char *lock = mem_format("%s.lock", path);
    bool dotlock = (s->locks & MAILBOX_LOCK_DOT) != 0;
    enum result res = RESULT_OK;

    if (dotlock)
        res = take_dotlock(s, lock, why);
    if (res == RESULT_OK) {
        res = lock_and_append(path, s, why);
        if (dotlock)
            (void)unlink(lock);
    }
    mem_free(path);
    mem_free(lock);
    return res;
}
