/*
 * postern adopt-spool: the queue manager, running or not, takes the messages of
 * another spool's directory.
 */
#include "cmd/postern/control.h"
#include "lib/base/mem.h"
#include "lib/daemon/command.h"
#include "lib/mail/queue_control.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum { FAILED = 1 };

/* Whose it has to be: the queue manager's, who is not root. */
struct heir {
    uid_t uid;
    gid_t gid;
};

/*
 * Only a file with one name, or a directory: who filled DIR must not get root to
 * give away a file that merely has a second name there.
 */
static void
give(int dir, const char *name, const char *path, const struct heir *h)
{
    int fd = openat(dir, name,
        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        command_fail(FAILED, "%s/%s: %s", path, name, strerror(errno));
    if (!S_ISDIR(st.st_mode) && (!S_ISREG(st.st_mode) || st.st_nlink != 1))
        command_fail(FAILED, "%s/%s: not a file of a spool", path, name);
    if ((st.st_uid != h->uid || st.st_gid != h->gid) &&
        fchown(fd, h->uid, h->gid) < 0)
        command_fail(FAILED, "%s/%s: change owner: %s", path, name,
            strerror(errno));
    close(fd);
}

static void
give_all(int dir, const char *name, const char *path, const struct heir *h)
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const struct dirent *e;
    DIR *stream;

    if (fd < 0 && errno == ENOENT)
        return;
    stream = fd < 0 ? NULL : fdopendir(fd);
    if (stream == NULL)
        command_fail(FAILED, "%s/%s: %s", path, name, strerror(errno));
    while ((e = readdir(stream)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            give(dirfd(stream), e->d_name, path, h);
    closedir(stream);
    give(dir, name, path, h);
}

/* As root: what came from another host has that one's user ids. */
static void
give_spool(const struct control *c, int dir, const char *path)
{
    static const char *const folders[] = { "segment", "blob", "damaged" };
    static const char *const files[] = { "lock", "owner" };
    char *own = mem_format("%s/spool", c->config->queue_directory);
    struct stat st;
    struct heir h;

    if (stat(own, &st) < 0)
        command_fail(FAILED, "%s: %s", own, strerror(errno));
    mem_free(own);
    h = (struct heir){ st.st_uid, st.st_gid };
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        give_all(dir, folders[i], path, &h);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        if (faccessat(dir, files[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            give(dir, files[i], path, &h);
    give(dir, ".", path, &h);
}

int
control_adopt_spool(const struct control *c)
{
    const char *path = c->argument;
    struct queue_done done;
    enum queue_reach reach;
    struct msg m;
    struct why why;
    int fd, dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        command_fail(FAILED, "%s: %s", path, strerror(errno));
    if (faccessat(dir, "owner", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
        command_fail(FAILED,
            "%s: not a spool: it has no file \"owner\" "
            "(a queue_directory has it below spool/)",
            path);
    if (geteuid() == 0)
        give_spool(c, dir, path);
    if (queue_control_open(c->set, &reach, &fd, &why) != RESULT_OK)
        command_fail(FAILED, "adopt-spool: %s", why.text);
    msg_init(&m, MESSAGE_QUEUE_ADOPT);
    msg_put_fd(&m, dir);
    if (queue_control_ask(fd, &m, NULL, NULL, &done, &why) != RESULT_OK)
        command_fail(FAILED, "adopt-spool: %s", why.text);
    queue_control_close(fd);
    if (done.result != RESULT_OK)
        command_fail(FAILED, "%s: %s (messages adopted: %" PRIu64 ")", path,
            done.why.text, done.count);
    command_say(LOG_LEVEL_INFO, "%s: %" PRIu64 " message%s adopted%s%s", path,
        done.count, done.count == 1 ? "" : "s",
        done.why.text[0] == '\0' ? "" : "; ", done.why.text);
    return EX_OK;
}
