#include "qmgr/spool/disk_record.h"

#ifdef POSTERN_TEST_HOOKS

#    include "lib/base/mem.h"

#    include <errno.h>
#    include <fcntl.h>
#    include <pthread.h>
#    include <stdbool.h>
#    include <stdlib.h>
#    include <string.h>
#    include <sys/stat.h>
#    include <time.h>
#    include <unistd.h>

enum { FDS = 65536, PARTS = 18 };

/* One for the process: set once, before there are threads. */
static struct recorder {
    struct disk disk;
    int file;
    pthread_mutex_t lock; /* order in the file is order on the disk */
    bool borrowed[FDS];   /* unnamed: somebody else may write to it */
} recorder = { .file = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

/* What cannot be written down makes the recording worthless. */
static void
record(struct disk_record *r, const struct iovec *octets, int count)
{
    struct iovec iov[PARTS] = { { r, sizeof(*r) } };
    struct timespec now;
    size_t want = sizeof(*r);

    if (count > PARTS - 1)
        abort();
    (void)clock_gettime(CLOCK_REALTIME, &now);
    r->time_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    r->len = 0;
    for (int i = 0; i < count; i++) {
        iov[i + 1] = octets[i];
        r->len += octets[i].iov_len;
    }
    want += r->len;
    if (writev(recorder.file, iov, count + 1) != (ssize_t)want)
        abort();
}

static void
record_name(struct disk_record *r, const char *name, const char *other)
{
    struct iovec iov[] = {
        { (void *)(uintptr_t)name, strlen(name) + 1 },
        { (void *)(uintptr_t)other, other == NULL ? 0 : strlen(other) + 1 },
    };

    record(r, iov, other == NULL ? 1 : 2);
}

/* Begin and end of a call that is recorded; the result goes through. */
static void
begin(void)
{
    (void)pthread_mutex_lock(&recorder.lock);
}

static int
end(int result)
{
    int saved = errno;

    (void)pthread_mutex_unlock(&recorder.lock);
    errno = saved;
    return result;
}

static int
record_open(struct disk *d, int dir, const char *name, int flags, mode_t mode)
{
    struct disk_record r = {
        .call = DISK_RECORD_OPEN,
        .dir = dir,
        .flags = (uint32_t)flags,
    };

    (void)d;
    begin();
    r.result = disk_real.open(&disk_real, dir, name, flags, mode);
    if (r.result >= 0 && r.result < FDS) {
        recorder.borrowed[r.result] = (flags & O_TMPFILE) == O_TMPFILE;
        record_name(&r, name, NULL);
    }
    return end(r.result);
}

static int
record_close(struct disk *d, int fd)
{
    struct disk_record r = { .call = DISK_RECORD_CLOSE, .fd = fd };

    (void)d;
    begin();
    record(&r, NULL, 0);
    return end(disk_real.close(&disk_real, fd));
}

static int
record_write(struct disk *d, int fd, const struct iovec *iov, int count,
    off_t offset)
{
    struct disk_record r = {
        .call = DISK_RECORD_WRITE,
        .fd = fd,
        .offset = offset,
    };
    int result;

    (void)d;
    begin();
    result = disk_real.write(&disk_real, fd, iov, count, offset);
    if (result == 0)
        record(&r, iov, count);
    return end(result);
}

static ssize_t
record_read(struct disk *d, int fd, void *to, size_t len, off_t offset)
{
    (void)d;
    return disk_real.read(&disk_real, fd, to, len, offset);
}

/* What was written before it began is durable now. */
static int
record_flush(struct disk *d, int fd)
{
    struct disk_record r = { .call = DISK_RECORD_FLUSH, .fd = fd };
    int result = disk_real.flush(&disk_real, fd);

    (void)d;
    begin();
    if (result == 0)
        record(&r, NULL, 0);
    return end(result);
}

static void
record_borrowed(int fd)
{
    struct disk_record r = { .call = DISK_RECORD_WRITE, .fd = fd };
    struct iovec iov;
    struct stat st;

    if (fstat(fd, &st) < 0 || st.st_size == 0)
        return;
    iov.iov_len = (size_t)st.st_size;
    iov.iov_base = mem_alloc(iov.iov_len);
    if (disk_real.read(&disk_real, fd, iov.iov_base, iov.iov_len, 0) !=
        (ssize_t)iov.iov_len)
        abort();
    record(&r, &iov, 1);
    mem_free(iov.iov_base);
}

/* Names are changed by several threads: none while they are made durable. */
static int
record_sync(struct disk *d, int fd)
{
    struct disk_record r = { .call = DISK_RECORD_FLUSH, .fd = fd };
    int result;

    (void)d;
    begin();
    if (fd < FDS && recorder.borrowed[fd])
        record_borrowed(fd);
    result = disk_real.sync(&disk_real, fd);
    if (result == 0)
        record(&r, NULL, 0);
    return end(result);
}

static int
record_reserve(struct disk *d, int fd, off_t len)
{
    struct disk_record r = {
        .call = DISK_RECORD_RESERVE,
        .fd = fd,
        .offset = len,
    };
    int result;

    (void)d;
    begin();
    result = disk_real.reserve(&disk_real, fd, len);
    if (result == 0)
        record(&r, NULL, 0);
    return end(result);
}

static int
record_rename(struct disk *d, int from_dir, const char *from, int to_dir,
    const char *to)
{
    struct disk_record r = {
        .call = DISK_RECORD_RENAME,
        .dir = from_dir,
        .to_dir = to_dir,
    };
    int result;

    (void)d;
    begin();
    result = disk_real.rename(&disk_real, from_dir, from, to_dir, to);
    if (result == 0)
        record_name(&r, from, to);
    return end(result);
}

static int
record_unlink(struct disk *d, int dir, const char *name)
{
    struct disk_record r = { .call = DISK_RECORD_UNLINK, .dir = dir };
    int result;

    (void)d;
    begin();
    result = disk_real.unlink(&disk_real, dir, name);
    if (result == 0)
        record_name(&r, name, NULL);
    return end(result);
}

static int
record_link(struct disk *d, int fd, int dir, const char *name)
{
    struct disk_record r = { .call = DISK_RECORD_LINK, .fd = fd, .dir = dir };
    int result;

    (void)d;
    begin();
    result = disk_real.link(&disk_real, fd, dir, name);
    if (result == 0)
        record_name(&r, name, NULL);
    return end(result);
}

static int
record_mkdir(struct disk *d, int dir, const char *name, mode_t mode)
{
    struct disk_record r = { .call = DISK_RECORD_MKDIR, .dir = dir };
    int result;

    (void)d;
    begin();
    result = disk_real.mkdir(&disk_real, dir, name, mode);
    if (result == 0)
        record_name(&r, name, NULL);
    return end(result);
}

struct disk *
disk_recorded(void)
{
    const char *name = getenv(DISK_RECORD_VARIABLE);

    if (name == NULL)
        return &disk_real;
    if (recorder.file < 0)
        recorder.file = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
            0600);
    if (recorder.file < 0)
        abort();
    recorder.disk = disk_real;
    recorder.disk.open = record_open;
    recorder.disk.close = record_close;
    recorder.disk.write = record_write;
    recorder.disk.read = record_read;
    recorder.disk.flush = record_flush;
    recorder.disk.sync = record_sync;
    recorder.disk.reserve = record_reserve;
    recorder.disk.rename = record_rename;
    recorder.disk.unlink = record_unlink;
    recorder.disk.link = record_link;
    recorder.disk.mkdir = record_mkdir;
    return &recorder.disk;
}

#endif
