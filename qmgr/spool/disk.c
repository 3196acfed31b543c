#include "qmgr/spool/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Somebody else may have filled an adopted directory: nothing else will do. */
static bool
is_expected(int fd, int flags)
{
    /* O_TMPFILE, which makes a file, has the bit as well. */
    bool directory = (flags & O_TMPFILE) == O_DIRECTORY;
    struct stat st;

    return fstat(fd, &st) == 0 &&
        (directory ? S_ISDIR(st.st_mode) : S_ISREG(st.st_mode));
}

/* O_NONBLOCK for a pipe, which would be waited for before it can be refused. */
static int
real_open(struct disk *d, int dir, const char *name, int flags, mode_t mode)
{
    int fd = openat(dir, name,
        flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, mode);

    (void)d;
    if (fd >= 0 && !is_expected(fd, flags)) {
        close(fd);
        errno = ELOOP; /* as for a symbolic link */
        return -1;
    }
    return fd;
}

static int
real_close(struct disk *d, int fd)
{
    (void)d;
    return close(fd);
}

/* Skip what was written of iov; iov is a copy. */
static int
advance(struct iovec **iov, int count, size_t written)
{
    while (count > 0 && written >= (*iov)->iov_len) {
        written -= (*iov)->iov_len;
        (*iov)++;
        count--;
    }
    if (count > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + written;
        (*iov)->iov_len -= written;
    }
    return count;
}

static int
real_write(struct disk *d, int fd, const struct iovec *iov, int count,
    off_t offset)
{
    struct iovec copy[16], *rest = copy;

    (void)d;
    if (count < 0 || count > (int)(sizeof(copy) / sizeof(copy[0]))) {
        errno = EINVAL;
        return -1;
    }
    memcpy(copy, iov, (size_t)count * sizeof(copy[0]));
    count = advance(&rest, count, 0);
    while (count > 0) {
        ssize_t n = pwritev(fd, rest, count, offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = EIO;
            return -1;
        }
        offset += n;
        count = advance(&rest, count, (size_t)n);
    }
    return 0;
}

static ssize_t
real_read(struct disk *d, int fd, void *to, size_t len, off_t offset)
{
    size_t done = 0;

    (void)d;
    while (done < len) {
        ssize_t n = pread(fd, (char *)to + done, len - done,
            offset + (off_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int
real_flush(struct disk *d, int fd)
{
    (void)d;
    return fdatasync(fd);
}

static int
real_sync(struct disk *d, int fd)
{
    (void)d;
    return fsync(fd);
}

static int
real_reserve(struct disk *d, int fd, off_t len)
{
    int err = posix_fallocate(fd, 0, len);

    (void)d;
    if (err != 0) {
        errno = err;
        return -1;
    }
    return 0;
}

static int
real_rename(struct disk *d, int from_dir, const char *from, int to_dir,
    const char *to)
{
    (void)d;
    return renameat(from_dir, from, to_dir, to);
}

static int
real_unlink(struct disk *d, int dir, const char *name)
{
    (void)d;
    return unlinkat(dir, name, 0);
}

/* AT_EMPTY_PATH would need CAP_DAC_READ_SEARCH; /proc does not. */
static int
real_link(struct disk *d, int fd, int dir, const char *name)
{
    char path[40];

    (void)d;
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, dir, name, AT_SYMLINK_FOLLOW);
}

static int
real_mkdir(struct disk *d, int dir, const char *name, mode_t mode)
{
    (void)d;
    return mkdirat(dir, name, mode);
}

static int
real_list(struct disk *d, int dir, disk_name_fn fn, void *context)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const struct dirent *entry;
    DIR *stream;
    int saved;

    (void)d;
    if (fd < 0)
        return -1;
    stream = fdopendir(fd);
    if (stream == NULL) {
        saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    errno = 0;
    while ((entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            fn(context, entry->d_name);
        errno = 0;
    }
    saved = errno;
    closedir(stream);
    errno = saved;
    return saved == 0 ? 0 : -1;
}

static int64_t
real_length(struct disk *d, int fd)
{
    struct stat st;

    (void)d;
    return fstat(fd, &st) < 0 ? -1 : (int64_t)st.st_size;
}

static int64_t
real_free_octets(struct disk *d, int dir)
{
    struct statvfs vfs;
    uint64_t octets;

    (void)d;
    if (fstatvfs(dir, &vfs) < 0)
        return -1;
    if (__builtin_mul_overflow((uint64_t)vfs.f_bavail, (uint64_t)vfs.f_frsize,
            &octets) ||
        octets > INT64_MAX)
        return INT64_MAX;
    return (int64_t)octets;
}

/* Of the open file, not of the process: closing another one keeps it. */
static int
real_lock(struct disk *d, int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

    (void)d;
    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return 0;
    if (errno == EACCES)
        errno = EAGAIN;
    return -1;
}

struct disk disk_real = {
    .open = real_open,
    .close = real_close,
    .write = real_write,
    .read = real_read,
    .flush = real_flush,
    .sync = real_sync,
    .reserve = real_reserve,
    .rename = real_rename,
    .unlink = real_unlink,
    .link = real_link,
    .mkdir = real_mkdir,
    .list = real_list,
    .length = real_length,
    .free_octets = real_free_octets,
    .lock = real_lock,
};
