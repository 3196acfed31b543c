#include "cmd/postconf/replace.h"

#include "cmd/postconf/postconf.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int
open_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir = mem_format("%.*s/", (int)(slash - path), path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX) < 0)
        postconf_fatal("%s: %s", dir, strerror(errno));
    mem_free(dir);
    return fd;
}

void
replace_begin(struct replacement *r, const char *path)
{
    struct why why;

    r->path = realpath(path, NULL);
    if (r->path == NULL)
        postconf_fatal("open %s: %s", path, strerror(errno));
    r->directory = open_directory(r->path);
    buf_init(&r->text, 64 << 20);
    if (set_read_file(r->path, FILE_REQUIRED, &r->text, &why) != RESULT_OK)
        postconf_fatal("%s", why.text);
}

static bool
write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);

        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            text = slice_skip(text, (size_t)n);
    }
    return true;
}

static bool
write_beside(const char *temporary, const struct stat *like, struct slice text)
{
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good;

    if (fd < 0)
        return false;
    /* An ordinary user's own file has no other owner to keep. */
    good = (geteuid() != 0 || fchown(fd, like->st_uid, like->st_gid) == 0) &&
        fchmod(fd, like->st_mode & 07777) == 0 && write_all(fd, text) &&
        fsync(fd) == 0;
    return close(fd) == 0 && good;
}

void
replace_end(struct replacement *r, struct slice text)
{
    char *temporary = mem_format("%s.tmp", r->path);
    struct stat st;

    /* We hold the lock: what lies there was left by an edit that died. */
    unlink(temporary);
    if (stat(r->path, &st) < 0)
        postconf_fatal("%s: %s", r->path, strerror(errno));
    if (!write_beside(temporary, &st, text) || rename(temporary, r->path) < 0) {
        int error = errno;

        unlink(temporary);
        postconf_fatal("write %s: %s", temporary, strerror(error));
    }
    fsync(r->directory);
    close(r->directory);
    mem_free(temporary);
    free(r->path);
    buf_fini(&r->text);
}
