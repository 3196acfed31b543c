#include "cmd/sendmail/dialogue.h"

#include "lib/daemon/command.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

enum { PIECE = 2048 };

static bool
write_all(int fd, const char *from, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, from, size);

        if (n > 0) {
            from += n;
            size -= (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            struct pollfd pfd = { .fd = fd, .events = POLLOUT };

            (void)poll(&pfd, 1, -1);
        } else if (n < 0 && errno != EINTR) {
            return false;
        }
    }
    return true;
}

/* False at the end, or when the other side takes no more. */
static bool
copy(int from, int to)
{
    char piece[PIECE];
    ssize_t n = read(from, piece, sizeof(piece));

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    return n > 0 && write_all(to, piece, (size_t)n);
}

static int
shuttle(int fd)
{
    struct pollfd fds[] = {
        { .fd = STDIN_FILENO, .events = POLLIN },
        { .fd = fd, .events = POLLIN },
    };

    for (;;) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return EX_OSERR;
        if (fds[1].revents != 0 && !copy(fd, STDOUT_FILENO))
            return EX_OK;
        if (fds[0].revents != 0 && !copy(STDIN_FILENO, fd)) {
            /* What smtpd still has to say is passed on. */
            (void)shutdown(fd, SHUT_WR);
            fds[0].fd = -1;
        }
    }
}

int
dialogue_run(const struct config *config)
{
    struct why why;
    int fd;

    if (command_connect(config, "smtp", &fd, &why) != RESULT_OK) {
        (void)printf("421 4.3.2 %s Service not available\r\n",
            config->myhostname);
        return EX_UNAVAILABLE;
    }
    return shuttle(fd);
}
