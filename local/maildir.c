/*
 * Maildir: write below tmp/, flush, rename into new/, flush that directory.
 *
 * The name in new/ is Postfix's: time, device and inode, microseconds, host.
 * The directory is flushed too: without it a power cut could take back a name
 * that the queue already counts as delivered.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "local/copy.h"
#include "local/mailbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
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

/* A Maildir is made when it is first needed. */
static int
open_directory(const char *path)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir >= 0 && faccessat(dir, "tmp", F_OK, 0) == 0 &&
        faccessat(dir, "new", F_OK, 0) == 0)
        return dir;
    if (dir >= 0)
        close(dir);
    if (make_maildir(path) < 0)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

static enum result
move_into_new(int dir, const char *temporary, int fd, const char *host,
    struct why *why)
{
    int64_t now = clock_wall_us();
    char name[NAME_SIZE];
    struct stat st;
    int new;

    if (fstat(fd, &st) < 0)
        return why_errno(why, "create maildir file");
    (void)snprintf(name, sizeof(name), "new/%lld.V%llxI%llxM%lld.%.64s",
        (long long)(now / 1000000), (unsigned long long)st.st_dev,
        (unsigned long long)st.st_ino, (long long)(now % 1000000), host);
    if (renameat(dir, temporary, dir, name) < 0)
        return why_errno(why, "rename maildir file");
    new = openat(dir, "new", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (new < 0 || fsync(new) < 0) {
        enum result res = why_errno(why, "flush maildir directory");

        /* Not delivered: take it back rather than deliver it twice. */
        (void)unlinkat(dir, name, 0);
        if (new >= 0)
            close(new);
        return res;
    }
    close(new);
    return RESULT_OK;
}

static enum result
store_in(int dir, struct mailbox_store *s, struct why *why)
{
    char host[HOST_NAME_MAX + 1], temporary[NAME_SIZE];
    enum result res;
    int fd;

    host_name(host);
    fd = create_temporary(dir, host, temporary);
    if (fd < 0)
        return why_errno(why, "create maildir file " SLICE_FMT "/%s",
            SLICE_ARG(s->path), temporary);
    res = copy_message(s, COPY_PLAIN, fd, why);
    if (res == RESULT_OK && fsync(fd) < 0)
        res = why_errno(why, "flush maildir file");
    if (res == RESULT_OK)
        res = move_into_new(dir, temporary, fd, host, why);
    if (res != RESULT_OK)
        (void)unlinkat(dir, temporary, 0);
    close(fd);
    return res;
}

enum result
maildir_store(struct mailbox_store *s, struct why *why)
{
    char *path = mem_text_of(s->path);
    int dir = open_directory(path);
    enum result res;

    if (dir < 0) {
        res = why_errno(why, "create maildir directory %s", path);
    } else {
        res = store_in(dir, s, why);
        close(dir);
    }
    mem_free(path);
    return res;
}
