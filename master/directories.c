#include "master/directories.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum owner { OWNER_SELF, OWNER_MAIL, OWNER_QUEUE, OWNER_DROP };

static const struct {
    const char *name;
    enum owner owner;
    mode_t mode;
} below_queue[] = {
    { "pid", OWNER_SELF, 0755 },
    { "spool", OWNER_QUEUE, 0700 },
    { "private", OWNER_MAIL, 0700 },
    { "public", OWNER_MAIL, 0755 },
    { "maildrop", OWNER_DROP, 0730 },
};
enum { BELOW_QUEUE = sizeof(below_queue) / sizeof(below_queue[0]) };

static struct identity
identity_of(enum owner owner, const struct rights *r)
{
    switch (owner) {
    case OWNER_SELF:
        break;
    case OWNER_MAIL:
        return r->mail_owner;
    case OWNER_QUEUE:
        return r->queue_owner;
    case OWNER_DROP:
        return (struct identity){ r->mail_owner.uid, r->setgid_group };
    }
    return r->self;
}

/*
 * What was made in it has its name for good: mail that is flushed later would
 * not be found without. Where we may not read there is no descriptor for that.
 */
static enum result
flush_directory(const char *path, struct why *why)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum result res = RESULT_OK;

    if (fd < 0 ? errno != EACCES : fsync(fd) < 0)
        res = why_errno(why, "flush directory %s", path);
    if (fd >= 0)
        close(fd);
    return res;
}

static enum result
flush_parent(const char *path, struct why *why)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    char *parent = slash == NULL ? mem_text(".")
        : len == 0               ? mem_text("/")
                                 : mem_text_of((struct slice){ path, len });
    enum result res = flush_directory(parent, why);

    mem_free(parent);
    return res;
}

/* All of path that is missing, as we are, 0755. */
static enum result
make_path(const char *path, struct why *why)
{
    char *part = mem_text(path);
    enum result res = RESULT_OK;

    for (char *at = part + 1; res == RESULT_OK; at++) {
        char end = *at;

        if (end != '/' && end != '\0')
            continue;
        *at = '\0';
        if (mkdir(part, 0755) == 0)
            res = flush_parent(part, why);
        else if (errno != EEXIST)
            res = why_errno(why, "create directory %s", part);
        *at = end;
        if (end == '\0')
            break;
    }
    mem_free(part);
    return res;
}

/*
 * One directory. chown() and chmod() go through the descriptor, so that nobody
 * can put something else in its place meanwhile.
 */
static enum result
make_directory(const char *path, struct identity who, mode_t mode,
    const struct rights *rights, struct why *why)
{
    struct stat st;
    bool made = mkdir(path, 0700) == 0;
    enum result res = RESULT_OK;
    int fd;

    if (!made && errno != EEXIST)
        return why_errno(why, "create directory %s", path);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        res = why_errno(why, "open directory %s", path);
    } else if (made || (rights->root && st.st_uid == 0 && who.uid != 0)) {
        if (rights->root && fchown(fd, who.uid, who.gid) < 0)
            res = why_errno(why, "change owner of %s", path);
        else if (fchmod(fd, mode) < 0)
            res = why_errno(why, "change mode of %s", path);
    } else if (st.st_uid != who.uid) {
        res = why_perm(why, "5.3.5",
            "directory %s is owned by user id %ld, not %ld", path,
            (long)st.st_uid, (long)who.uid);
    }
    if (fd >= 0)
        close(fd);
    return res;
}

enum result
directories_make(const struct config *config, const struct rights *rights,
    struct why *why)
{
    enum result res = make_path(config->queue_directory, why);

    for (size_t i = 0; i < BELOW_QUEUE && res == RESULT_OK; i++) {
        char *path = mem_format("%s/%s", config->queue_directory,
            below_queue[i].name);

        res = make_directory(path, identity_of(below_queue[i].owner, rights),
            below_queue[i].mode, rights, why);
        mem_free(path);
    }
    if (res == RESULT_OK)
        res = flush_directory(config->queue_directory, why);
    if (res == RESULT_OK)
        res = make_path(config->data_directory, why);
    if (res == RESULT_OK)
        res = make_directory(config->data_directory, rights->mail_owner, 0700,
            rights, why);
    return res;
}

static void
check_directory(const char *path, struct identity who, mode_t mode)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return; /* start makes it */
    if (!S_ISDIR(st.st_mode))
        log_warning("not a directory: %s", path);
    else if (st.st_uid != who.uid)
        log_warning("not owned by user id %ld: %s", (long)who.uid, path);
    else if ((st.st_mode & 07777 & ~mode) != 0)
        log_warning("%s has mode %04o, should be %04o", path,
            (unsigned)st.st_mode & 07777, (unsigned)mode);
}

void
directories_check(const struct config *config, const struct rights *rights)
{
    struct stat st;

    if (stat(config->queue_directory, &st) == 0 &&
        (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        log_warning("group or other writable: %s", config->queue_directory);
    for (size_t i = 0; i < BELOW_QUEUE; i++) {
        char *path = mem_format("%s/%s", config->queue_directory,
            below_queue[i].name);

        check_directory(path, identity_of(below_queue[i].owner, rights),
            below_queue[i].mode);
        mem_free(path);
    }
    check_directory(config->data_directory, rights->mail_owner, 0755);
}
