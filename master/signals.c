#include "master/signals.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const struct {
    int number;
    enum signal_event event;
} heard[] = {
    { SIGCHLD, SIGNAL_CHILD },
    { SIGHUP, SIGNAL_RELOAD },
    { SIGTERM, SIGNAL_STOP },
    { SIGINT, SIGNAL_STOP },
    { SIGUSR1, SIGNAL_REOPEN },
};
enum { HEARD = sizeof(heard) / sizeof(heard[0]) };

/* Set once, by signals_open(). */
static struct {
    signal_fn fn;
    void *context;
    int fd;
    struct io_wait wait;
} signals;

struct heard_signal {
    enum signal_event event;
};

static void
tell(void *arg)
{
    struct heard_signal *s = arg;
    enum signal_event event = s->event;

    mem_free(s);
    signals.fn(signals.context, event);
}

/* Deaths at once; the others on fibers of their own, since they may wait. */
static void
hear(int number)
{
    for (size_t i = 0; i < HEARD; i++) {
        struct heard_signal *s;

        if (heard[i].number != number)
            continue;
        if (heard[i].event == SIGNAL_CHILD) {
            signals.fn(signals.context, SIGNAL_CHILD);
            continue;
        }
        s = mem_alloc(sizeof(*s));
        s->event = heard[i].event;
        if (fiber_spawn("signal", tell, s) == NULL)
            mem_free(s);
    }
}

static void
listen_main(void *arg)
{
    (void)arg;
    for (;;) {
        struct signalfd_siginfo info;
        ssize_t n = read(signals.fd, &info, sizeof(info));

        if (n == (ssize_t)sizeof(info))
            hear((int)info.ssi_signo);
        else if (n < 0 && errno != EINTR &&
            io_wait_readable(&signals.wait, CLOCK_NEVER) != WAIT_OK)
            return;
    }
}

bool
signals_open(signal_fn fn, void *context)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < HEARD; i++)
        sigaddset(&set, heard[i].number);
    (void)signal(SIGPIPE, SIG_IGN);
    signals.fn = fn;
    signals.context = context;
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return false;
    signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return signals.fd >= 0 && io_wait_init(&signals.wait, signals.fd) == 0 &&
        fiber_spawn("signals", listen_main, NULL) != NULL;
}
