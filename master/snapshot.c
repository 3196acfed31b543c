#include "master/snapshot.h"

#include "lib/base/buf.h"
#include "lib/daemon/control.h"
#include "lib/table/table_files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

/* A sealed memory file with octets; -1 with errno. */
static int
make_file(const char *name, struct slice octets)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int error;

    if (fd < 0)
        return -1;
    if (write(fd, octets.ptr, octets.len) == (ssize_t)octets.len &&
        fcntl(fd, F_ADD_SEALS,
            F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
        return fd;
    error = errno;
    close(fd);
    errno = error;
    return -1;
}

enum result
snapshot_make(const struct config_set *set, struct snapshot *s, struct why *why)
{
    struct buf octets, files;
    enum result res = RESULT_OK;

    *s = (struct snapshot){ .fd = -1, .table_files = -1 };
    buf_init(&octets, CONTROL_SNAPSHOT_MAX);
    buf_init_secret(&files, TABLE_FILES_MAX);
    config_encode(set, &octets);
    table_files_collect(set, &files);
    if (buf_failed(&octets) || buf_failed(&files))
        res = why_perm(why, "5.3.5", "the configuration is too large");
    else if ((s->fd = make_file("postern configuration", buf_slice(&octets))) <
            0 ||
        (files.len > 0 &&
            (s->table_files = make_file("postern tables", buf_slice(&files))) <
                0))
        res = why_errno(why, "make a snapshot of the configuration");
    s->length = (uint32_t)octets.len;
    if (res != RESULT_OK && s->fd >= 0)
        close(s->fd);
    buf_fini(&octets);
    buf_fini(&files);
    return res;
}

void
snapshot_close(const struct snapshot *s)
{
    if (s->fd >= 0)
        close(s->fd);
    if (s->table_files >= 0)
        close(s->table_files);
}
