#include "lib/table/table_open.h"

#include <fcntl.h>
#include <unistd.h>

static enum result
refuse_fifo(const char *path, const char *what, const struct stat *st,
    struct why *why)
{
    return S_ISFIFO(st->st_mode)
        ? why_temp(why, "4.3.0", "%s %s: it is a FIFO", what, path)
        : RESULT_OK;
}

enum result
table_open_file(const char *path, const char *what, int *fd, struct stat *st,
    struct why *why)
{
    enum result res;

    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (*fd < 0)
        return why_errno(why, "%s %s", what, path);
    res = fstat(*fd, st) < 0 ? why_errno(why, "fstat %s", path)
                             : refuse_fifo(path, what, st, why);
    if (res != RESULT_OK)
        close(*fd);
    return res;
}

enum result
table_check_file(const char *path, const char *what, struct why *why)
{
    struct stat st;

    return stat(path, &st) < 0 ? why_errno(why, "%s %s", what, path)
                               : refuse_fifo(path, what, &st, why);
}
