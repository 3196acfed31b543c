#include "cmd/postdrop/outbound.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/daemon/command.h"
#include "lib/io/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    SEND_MS = 60 * 1000,
    /*
     * Longer than smtpd waits for the queue manager. After that the file stays,
     * and its name tells whether the message came through after all.
     */
    ANSWER_MS = 180 * 1000,
    /* smtpd runs as another user; the directory keeps all others out. */
    FILE_MODE = 0644,
    PIECE = 2048,
};

/* For the signal handler alone: what is to be removed. */
static struct {
    int dir;
    const char *name;
} volatile unfinished = { -1, NULL };

static void
remove_unfinished(int signum)
{
    const char *name = unfinished.name;

    (void)signum;
    if (name != NULL)
        (void)unlinkat(unfinished.dir, name, 0);
    _exit(EX_TEMPFAIL);
}

static void
catch_signals(void)
{
    static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct sigaction old;

        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            (void)signal(signals[i], remove_unfinished);
    }
    (void)signal(SIGPIPE, SIG_IGN);
}

/*
 * Not installed set-gid, we may not write there; smtpd can take the message all
 * the same while it runs.
 */
static enum result
create_memory(struct outbound *o, struct why *why)
{
    o->fd = memfd_create("message", MFD_CLOEXEC);
    o->hidden[0] = '\0';
    return o->fd < 0 ? why_errno(why, "memory for a message") : RESULT_OK;
}

static enum result
create_file(const struct config *config, struct outbound *o, struct why *why)
{
    (void)snprintf(o->hidden, sizeof(o->hidden), ".tmp-%s", o->name);
    catch_signals();
    unfinished.dir = o->dir;
    unfinished.name = o->hidden;
    o->fd = openat(o->dir, o->hidden,
        O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (o->fd >= 0)
        return RESULT_OK;
    unfinished.name = NULL;
    if (errno == EACCES)
        return create_memory(o, why);
    return why_errno(why, "create a file in %s/maildrop",
        config->queue_directory);
}

enum result
outbound_create(const struct config *config, struct outbound *o,
    struct why *why)
{
    char *path = mem_format("%s/maildrop", config->queue_directory);

    *o = (struct outbound){ .fd = -1 };
    drop_name(getuid(), o->name);
    o->dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (o->dir < 0) {
        enum result res = why_errno(why, "open %s", path);

        mem_free(path);
        return res;
    }
    mem_free(path);
    return create_file(config, o, why);
}

enum result
outbound_write(struct outbound *o, struct buf *octets, struct why *why)
{
    while (octets->len > 0) {
        ssize_t n = write(o->fd, octets->ptr, octets->len);

        if (n < 0 && errno != EINTR)
            return why_errno(why, "write a message");
        if (n > 0) {
            o->octets += (uint64_t)n;
            buf_consume(octets, (size_t)n);
        }
    }
    return RESULT_OK;
}

/* Handing over */

static bool
send_file(struct outbound *o, struct stream *st)
{
    int64_t deadline = clock_now_ms() + SEND_MS;
    char piece[PIECE];
    off_t at = 0;
    ssize_t n;

    while ((n = pread(o->fd, piece, sizeof(piece), at)) > 0) {
        stream_write(st, (struct slice){ piece, (size_t)n }, deadline);
        at += n;
    }
    return n == 0 && stream_flush(st, deadline) == STREAM_OK;
}

enum outbound_end
outbound_hand_over(struct outbound *o, const struct config *config,
    struct drop_answer *answer)
{
    enum outbound_end end = OUTBOUND_UNKNOWN;
    struct stream *st;
    struct why why;
    int fd;

    if (command_connect(config, "pickup", &fd, &why) != RESULT_OK)
        return OUTBOUND_UNKNOWN;
    st = stream_new(fd);
    /* Refused already? Then there is an answer although it was not all taken. */
    (void)send_file(o, st);
    if (drop_read_answer(st, clock_now_ms() + ANSWER_MS, answer))
        switch (answer->result) {
        case RESULT_OK:
            end = OUTBOUND_TAKEN;
            break;
        case RESULT_PERMFAIL:
            end = OUTBOUND_REFUSED;
            break;
        case RESULT_TEMPFAIL:
            break;
        }
    stream_free(st);
    return end;
}

/* Keeping */

/*
 * maildrop/ cannot be read, so it cannot be flushed either. The second flush of
 * the file takes its new name along: the name's change is part of what the file
 * system has to write before it.
 */
enum result
outbound_keep(struct outbound *o, const struct config *config, struct why *why)
{
    struct why ignored;
    int fd;

    if (o->hidden[0] == '\0')
        return why_temp(why, "4.3.0",
            "the mail system is down, and its maildrop may not be written to "
            "(postdrop is not set-gid)");
    if (fsync(o->fd) < 0)
        return why_errno(why, "flush a message");
    if (fchmod(o->fd, FILE_MODE) < 0)
        return why_errno(why, "set the mode of a message");
    if (renameat(o->dir, o->hidden, o->dir, o->name) < 0)
        return why_errno(why, "rename a message");
    unfinished.name = NULL;
    if (fsync(o->fd) < 0) {
        enum result res = why_errno(why, "flush a message");

        (void)unlinkat(o->dir, o->name, 0);
        return res;
    }
    /* A connection without a message asks smtpd to look. */
    if (command_connect(config, "pickup", &fd, &ignored) == RESULT_OK)
        close(fd);
    return RESULT_OK;
}

void
outbound_remove(struct outbound *o)
{
    if (o->hidden[0] != '\0')
        (void)unlinkat(o->dir, o->hidden, 0);
    unfinished.name = NULL;
}
