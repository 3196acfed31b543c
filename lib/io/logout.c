#include "lib/io/logout.h"

#include "lib/base/mem.h"
#include "lib/io/iov.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    WAIT_MS = 100,  /* for a slow reader, once */
    DATAGRAMS = 32, /* in one system call */
    FILE_MODE = 0600,
};

static const char syslog_path[] = "/dev/log";

static int
connect_syslog(const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd;

    if (strlen(path) >= sizeof(to.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(to.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
        int saved = errno;

        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static bool
is_regular(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

void
logout_take(struct logout *out, int fd, const char *path)
{
    *out = (struct logout){
        .kind = LOGSINK_FILE,
        .fd = fd,
        .path = path == NULL ? NULL : mem_text(path),
        .regular = is_regular(fd),
    };
}

/* Syslog may come later than we do, so it need not be there yet. */
int
logout_open(struct logout *out, enum logsink_kind kind, const char *path)
{
    int fd;

    switch (kind) {
    case LOGSINK_FILE:
        fd = open(path,
            O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
            FILE_MODE);
        if (fd < 0)
            return -1;
        logout_take(out, fd, path);
        return 0;
    case LOGSINK_STDOUT:
        logout_take(out, STDOUT_FILENO, NULL);
        out->kind = kind;
        return 0;
    case LOGSINK_SYSLOG:
        break;
    }
    path = path == NULL ? syslog_path : path;
    *out = (struct logout){
        .kind = kind,
        .fd = connect_syslog(path),
        .path = mem_text(path),
    };
    return 0;
}

void
logout_close(struct logout *out)
{
    if (out->fd >= 0 && out->kind != LOGSINK_STDOUT)
        (void)close(out->fd);
    out->fd = -1;
    mem_free(out->path);
    out->path = NULL;
}

static size_t
count_lines(struct slice lines)
{
    size_t n = 0;

    while (lines.len > 0) {
        lines = slice_skip(lines, slice_find(lines, '\n') + 1);
        n++;
    }
    return n;
}

/* A reader that is stuck costs WAIT_MS once, and not each time. */
static bool
wait_for_reader(struct logout *out)
{
    struct pollfd pfd = { .fd = out->fd, .events = POLLOUT };

    out->stuck = poll(&pfd, 1, out->stuck ? 0 : WAIT_MS) <= 0;
    if (out->stuck)
        errno = EAGAIN;
    return !out->stuck;
}

/* Of a pipe, poll(2) promises room for PIPE_BUF only. */
static struct slice
next_piece(const struct logout *out, struct slice lines)
{
    size_t end;

    if (out->regular || lines.len <= PIPE_BUF)
        return lines;
    end = slice_rfind(slice_head(lines, PIPE_BUF), '\n');
    return slice_head(lines, end < PIPE_BUF ? end + 1 : PIPE_BUF);
}

static bool
write_all(struct logout *out, struct slice *lines)
{
    while (lines->len > 0) {
        struct slice piece = next_piece(out, *lines);
        ssize_t n;

        if (!out->regular && !wait_for_reader(out))
            return false;
        n = write(out->fd, piece.ptr, piece.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        out->torn = n > 0 && lines->ptr[n - 1] != '\n';
        *lines = slice_skip(*lines, (size_t)n);
    }
    return true;
}

/* What follows half a line must not look like its end. */
static size_t
write_stream(struct logout *out, struct slice lines)
{
    struct slice end = SLICE_LIT("\n");

    if (out->torn && !write_all(out, &end))
        return count_lines(lines);
    if (write_all(out, &lines))
        return 0;
    return count_lines(lines);
}

/* Up to DATAGRAMS of *lines go out; those that did are cut off. */
static int
send_some(struct logout *out, struct slice *lines)
{
    struct mmsghdr messages[DATAGRAMS];
    struct iovec iov[DATAGRAMS];
    struct slice rest = *lines, line;
    unsigned count = 0;
    int sent;

    memset(messages, 0, sizeof(messages));
    while (count < DATAGRAMS && slice_line(&rest, &line)) {
        iov[count] = iov_of(line);
        messages[count].msg_hdr.msg_iov = &iov[count];
        messages[count].msg_hdr.msg_iovlen = 1;
        count++;
    }
    sent = sendmmsg(out->fd, messages, count, MSG_NOSIGNAL);
    for (int i = 0; i < sent; i++)
        (void)slice_line(lines, &line);
    return sent;
}

static bool
reconnect(struct logout *out)
{
    if (out->fd >= 0)
        (void)close(out->fd);
    out->fd = connect_syslog(out->path);
    return out->fd >= 0;
}

static size_t
write_syslog(struct logout *out, struct slice lines)
{
    bool fresh = false;

    if (out->fd < 0) {
        fresh = true;
        if (!reconnect(out))
            return count_lines(lines);
    }
    while (lines.len > 0) {
        bool go_on = true;

        if (send_some(out, &lines) >= 0 || errno == EINTR)
            continue;
        if (errno == EMSGSIZE) /* this line alone is lost, and not counted */
            lines = slice_skip(lines, slice_find(lines, '\n') + 1);
        else if (errno == EAGAIN || errno == ENOBUFS)
            go_on = wait_for_reader(out);
        else if ((go_on = !fresh && reconnect(out)))
            fresh = true; /* syslogd was started again */
        if (!go_on)
            return count_lines(lines);
    }
    return 0;
}

size_t
logout_write(struct logout *out, struct slice lines)
{
    if (lines.len == 0)
        return 0;
    return out->kind == LOGSINK_SYSLOG ? write_syslog(out, lines)
                                       : write_stream(out, lines);
}
