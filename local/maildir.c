/*
 * Maildir: write below tmp/, rename into new/, flush both.
 *
 * The name in new/ is Postfix's: time, device and inode, microseconds, host.
 *
 * The name has to be as durable as the content: without it a power cut could
 * take back what the queue already counts as delivered. On ext4, XFS and btrfs
 * one flush does for both: the octets are written out first (without waiting
 * for the journal), then the file gets its name, and flushing the file commits
 * its last rename with it. A name without content cannot be left, since the
 * journal takes neither before the other. Anywhere else the file is flushed,
 * renamed, and its directory flushed: two commits instead of one.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "local/copy.h"
#include "local/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { NAME_SIZE = 256 };

static void
host_name(char host[HOST_NAME_MAX + 1])
{
    if (gethostname(host, HOST_NAME_MAX + 1) < 0)
        (void)snprintf(host, HOST_NAME_MAX + 1, "localhost");
    host[HOST_NAME_MAX] = '\0';
    /* Neither octet may stand in a Maildir name. */
    for (char *p = host; *p != '\0'; p++)
        if (*p == '/' || *p == ':')
            *p = '_';
}

/* mkdir -p, with modes of a mailbox; path is changed and restored. */
static int
make_directories(char *path)
{
    for (char *p = path + 1;; p++) {
        char c = *p;

        if (c != '/' && c != '\0')
            continue;
        *p = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
            *p = c;
            return -1;
        }
        *p = c;
        if (c == '\0')
            return 0;
    }
}

static int
make_maildir(const char *path)
{
    static const char *const parts[] = { "tmp", "new", "cur" };
    int res = 0;

    for (size_t i = 0; res == 0 && i < sizeof(parts) / sizeof(parts[0]); i++) {
        char *dir = mem_format("%s/%s", path, parts[i]);

        res = make_directories(dir);
        mem_free(dir);
    }
    return res;
}

static bool
one_flush_is_enough(int dir)
{
    struct statfs fs;

    return fstatfs(dir, &fs) == 0 &&
        (fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == XFS_SUPER_MAGIC ||
            fs.f_type == BTRFS_SUPER_MAGIC);
}

static int
create_temporary(int dir, const char *host, char name[NAME_SIZE])
{
    static atomic_uint serial;

    (void)snprintf(name, NAME_SIZE, "tmp/%lld.P%dQ%u.%.64s",
        (long long)clock_wall_s(), (int)getpid(), atomic_fetch_add(&serial, 1),
        host);
    return openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

/* By us, or in this moment by another delivery, which makes the Maildir. */
static bool
make_new(int dir)
{
    return mkdirat(dir, "new", 0700) == 0 || errno == EEXIST;
}

static enum result
move_into_new(int dir, const char *temporary, int fd, const char *host,
    char name[NAME_SIZE], struct why *why)
{
    int64_t now = clock_wall_us();
    struct stat st;

    if (fstat(fd, &st) < 0)
        return mailbox_write_refusal(why);
    (void)snprintf(name, NAME_SIZE, "new/%lld.V%llxI%llxM%lld.%.64s",
        (long long)(now / 1000000), (unsigned long long)st.st_dev,
        (unsigned long long)st.st_ino, (long long)(now % 1000000), host);
    if (renameat(dir, temporary, dir, name) == 0 ||
        (errno == ENOENT && make_new(dir) &&
            renameat(dir, temporary, dir, name) == 0))
        return RESULT_OK;
    return mailbox_refusal(why, "move maildir file to %s", name);
}

static int
flush_directory(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int res = fd < 0 ? -1 : fsync(fd);

    if (fd >= 0)
        close(fd);
    return res;
}

/* From a complete file in tmp/ to a durable one in new/. */
static enum result
publish(int dir, const char *temporary, int fd, const char *host,
    struct why *why)
{
    bool one_flush = one_flush_is_enough(dir);
    int flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
        SYNC_FILE_RANGE_WAIT_AFTER;
    char name[NAME_SIZE];
    enum result res;

    if ((one_flush ? sync_file_range(fd, 0, 0, (unsigned)flags) : fsync(fd)) <
        0)
        return mailbox_write_refusal(why);
    res = move_into_new(dir, temporary, fd, host, name, why);
    if (res != RESULT_OK)
        return res;
    if ((one_flush ? fsync(fd) : flush_directory(dir, "new")) == 0)
        return RESULT_OK;
    /* Not delivered: take it back rather than deliver it twice. */
    res = mailbox_write_refusal(why);
    (void)unlinkat(dir, name, 0);
    return res;
}

static enum result
store_in(int dir, const char *path, struct mailbox_store *s, struct why *why)
{
    char host[HOST_NAME_MAX + 1], temporary[NAME_SIZE];
    enum result res;
    int fd;

    host_name(host);
    fd = create_temporary(dir, host, temporary);
    /* A Maildir is made, or completed, when it is first needed. */
    if (fd < 0 && errno == ENOENT && make_maildir(path) == 0)
        fd = create_temporary(dir, host, temporary);
    if (fd < 0)
        return mailbox_refusal(why, "create maildir file %s/%s", path,
            temporary);
    res = copy_message(s, COPY_PLAIN, fd, why);
    if (res == RESULT_OK)
        res = publish(dir, temporary, fd, host, why);
    if (res != RESULT_OK)
        (void)unlinkat(dir, temporary, 0);
    close(fd);
    return res;
}

static int
open_maildir(const char *path)
{
    int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    int dir = open(path, flags);

    if (dir < 0 && errno == ENOENT && make_maildir(path) == 0)
        dir = open(path, flags);
    return dir;
}

enum result
maildir_store(struct mailbox_store *s, struct why *why)
{
    char *path = mem_text_of(s->path);
    int dir = open_maildir(path);
    enum result res;

    if (dir < 0) {
        res = mailbox_refusal(why, "create maildir file %s/tmp", path);
    } else {
        res = store_in(dir, path, s, why);
        close(dir);
    }
    mem_free(path);
    return res;
}
