#include "cmd/sendmail/submit.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/install.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

/* In the child: the pipe becomes its standard input. */
static void
become_postdrop(int in)
{
    char *path = install_command("postdrop");
    char *const argv[] = { (char[]){ "postdrop" }, (char[]){ "-r" }, NULL };

    if (dup2(in, STDIN_FILENO) < 0)
        _exit(EX_OSERR);
    (void)signal(SIGPIPE, SIG_DFL);
    execv(path, argv);
    log_fatal("execute %s: %m", path);
    _exit(EX_OSERR);
}

enum result
submit_begin(struct submit *s, struct why *why)
{
    int fds[2];

    (void)signal(SIGPIPE, SIG_IGN);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return why_errno(why, "pipe to postdrop");
    s->postdrop = fork();
    if (s->postdrop < 0) {
        close(fds[0]);
        close(fds[1]);
        return why_errno(why, "start postdrop");
    }
    if (s->postdrop == 0)
        become_postdrop(fds[0]);
    close(fds[0]);
    s->fd = fds[1];
    return RESULT_OK;
}

void
submit_write(struct submit *s, struct buf *octets)
{
    while (octets->len > 0) {
        ssize_t n = write(s->fd, octets->ptr, octets->len);

        if (n > 0)
            buf_consume(octets, (size_t)n);
        else if (n < 0 && errno != EINTR)
            break;
    }
    buf_clear(octets);
}

int
submit_end(struct submit *s)
{
    int status;

    close(s->fd);
    while (waitpid(s->postdrop, &status, 0) < 0)
        if (errno != EINTR)
            return EX_OSERR;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EX_TEMPFAIL;
}
