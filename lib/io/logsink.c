#include "lib/io/logsink.h"

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/io/logout.h"
#include "lib/io/sched.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum {
    GATHERED_MAX = 64 * 1024,
    WRITE_AT = 32 * 1024, /* not waiting for the end of the turn */
    STAMP_MAX = 32,       /* "Mon dd hh:mm:ss" */
    HOST_MAX = 256,
};

/* The process's log; all of it under the lock. */
static struct {
    pthread_mutex_t lock;
    struct logout out;
    struct buf gathered; /* lines, each with its LF */
    size_t lost;         /* lines since the last one that was written */
    int lost_errno;
    unsigned facility; /* syslog's number */
    bool ready;
    pid_t pid;
    time_t stamp_s; /* of the stamp; a second makes many lines */
    char stamp[STAMP_MAX];
    char host[HOST_MAX];
} sink = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* By which this thread's scheduler writes at the end of each turn. */
static _Thread_local struct sched_hook hook;

static const struct {
    const char *name;
    unsigned number; /* RFC 3164 section 4.1.1 */
} facilities[] = {
    { "kern", 0 },
    { "user", 1 },
    { "mail", 2 },
    { "daemon", 3 },
    { "auth", 4 },
    { "syslog", 5 },
    { "lpr", 6 },
    { "news", 7 },
    { "uucp", 8 },
    { "cron", 9 },
    { "authpriv", 10 },
    { "ftp", 11 },
    { "local0", 16 },
    { "local1", 17 },
    { "local2", 18 },
    { "local3", 19 },
    { "local4", 20 },
    { "local5", 21 },
    { "local6", 22 },
    { "local7", 23 },
};

static const unsigned severities[] = {
    [LOG_LEVEL_INFO] = 6,
    [LOG_LEVEL_WARNING] = 4,
    [LOG_LEVEL_ERROR] = 3,
    [LOG_LEVEL_FATAL] = 2,
    [LOG_LEVEL_PANIC] = 2,
};

static const char *
stamp(void)
{
    time_t now = (time_t)clock_wall_s();
    struct tm tm;

    if (now != sink.stamp_s || sink.stamp[0] == '\0') {
        (void)localtime_r(&now, &tm);
        (void)strftime(sink.stamp, sizeof(sink.stamp), "%b %e %H:%M:%S", &tm);
        sink.stamp_s = now;
    }
    return sink.stamp;
}

/* Where the line starts is returned: a LF in it would forge another one. */
static void
add_line(struct buf *to, enum log_level level, const char *tag,
    struct slice line)
{
    size_t start;

    if (sink.out.kind == LOGSINK_SYSLOG)
        buf_add_format(to,
            "<%u>%s %s[%ld]: ", sink.facility * 8 + severities[level], stamp(),
            tag, (long)sink.pid);
    else
        buf_add_format(to, "%s %s %s[%ld]: ", stamp(), sink.host, tag,
            (long)sink.pid);
    start = to->len;
    buf_add(to, line);
    for (size_t i = start; i < to->len; i++)
        if (to->ptr[i] == '\n')
            to->ptr[i] = ' ';
    buf_add_octet(to, '\n');
}

static void
count_lost(size_t lines)
{
    if (lines == 0)
        return;
    sink.lost += lines;
    sink.lost_errno = errno;
}

/* True when nothing is owed any more. */
static bool
report_lost(void)
{
    struct buf notice;
    char text[200];
    bool written;

    if (sink.lost == 0)
        return true;
    (void)snprintf(text, sizeof(text), "warning: %zu log lines were lost: %s",
        sink.lost, strerror(sink.lost_errno));
    buf_init(&notice, GATHERED_MAX);
    add_line(&notice, LOG_LEVEL_WARNING, log_tag(), slice_of(text));
    written = logout_write(&sink.out, buf_slice(&notice)) == 0;
    buf_fini(&notice);
    if (written)
        sink.lost = 0;
    return written;
}

/* Called with the lock. */
static void
write_gathered(void)
{
    struct slice lines = buf_slice(&sink.gathered), line;

    if (lines.len > 0 && report_lost())
        count_lost(logout_write(&sink.out, lines));
    else
        while (slice_line(&lines, &line))
            sink.lost++;
    buf_clear(&sink.gathered);
}

static void
flush(void *context)
{
    (void)context;
    (void)pthread_mutex_lock(&sink.lock);
    if (sink.ready)
        write_gathered();
    (void)pthread_mutex_unlock(&sink.lock);
}

static bool
is_hooked(void)
{
    return hook.link.next != NULL && !list_empty(&hook.link) && sched_in_turn();
}

static void
write_line(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    size_t before;

    (void)context;
    (void)pthread_mutex_lock(&sink.lock);
    before = sink.gathered.len;
    add_line(&sink.gathered, level, tag, line);
    if (buf_failed(&sink.gathered)) { /* no memory */
        buf_truncate(&sink.gathered, before);
        errno = ENOMEM;
        count_lost(1);
        write_gathered();
    }
    if (!is_hooked() || level >= LOG_LEVEL_FATAL ||
        sink.gathered.len >= WRITE_AT)
        write_gathered();
    (void)pthread_mutex_unlock(&sink.lock);
}

static void
before_fork(void)
{
    (void)pthread_mutex_lock(&sink.lock);
}

static void
after_fork(void)
{
    (void)pthread_mutex_unlock(&sink.lock);
}

/* The parent writes what was gathered; the child's loop is another matter. */
static void
after_fork_in_child(void)
{
    buf_clear(&sink.gathered);
    sink.pid = getpid();
    if (hook.link.next != NULL)
        list_remove(&hook.link);
    after_fork();
}

/* Called with the lock. */
static void
set_up(void)
{
    char name[HOST_MAX];

    if (!sink.ready) {
        sink.ready = true;
        sink.pid = getpid();
        tzset();
        buf_init(&sink.gathered, GATHERED_MAX);
        (void)pthread_atfork(before_fork, after_fork, after_fork_in_child);
    }
    if (sink.host[0] == '\0' && gethostname(name, sizeof(name) - 1) == 0) {
        name[sizeof(name) - 1] = '\0';
        name[strcspn(name, ".")] = '\0';
        (void)snprintf(sink.host, sizeof(sink.host), "%s", name);
    }
    if (sched_is_open() && (hook.link.next == NULL || list_empty(&hook.link))) {
        hook.run = flush;
        sched_add_hook(&hook);
    }
    log_set_sink(write_line, flush, NULL);
}

/* Called with the lock. What was gathered goes where it was meant to go. */
static void
replace(const struct logout *out)
{
    if (sink.ready) {
        write_gathered();
        logout_close(&sink.out);
    }
    sink.out = *out;
    set_up();
}

static bool
find_facility(const char *name, unsigned *number)
{
    for (size_t i = 0; i < sizeof(facilities) / sizeof(facilities[0]); i++) {
        if (strcasecmp(name, facilities[i].name) == 0) {
            *number = facilities[i].number;
            return true;
        }
    }
    return false;
}

enum result
logsink_open(enum logsink_kind kind, const char *path, const char *facility,
    struct why *why)
{
    unsigned number = 0;
    struct logout out;

    if (kind == LOGSINK_SYSLOG && !find_facility(facility, &number))
        return why_perm(why, "5.3.5", "unknown syslog facility: %s", facility);
    if (logout_open(&out, kind, path) < 0)
        return why_errno(why, "open log file %s", path);
    (void)pthread_mutex_lock(&sink.lock);
    replace(&out);
    sink.facility = number;
    (void)pthread_mutex_unlock(&sink.lock);
    return RESULT_OK;
}

void
logsink_take_fd(int fd, const char *path)
{
    struct logout out;

    logout_take(&out, fd, path);
    (void)pthread_mutex_lock(&sink.lock);
    replace(&out);
    (void)pthread_mutex_unlock(&sink.lock);
}

void
logsink_reopen(void)
{
    struct logout out;

    (void)pthread_mutex_lock(&sink.lock);
    if (sink.ready && sink.out.path != NULL &&
        logout_open(&out, sink.out.kind, sink.out.path) == 0)
        replace(&out);
    (void)pthread_mutex_unlock(&sink.lock);
}

void
logsink_set_host(const char *host)
{
    (void)pthread_mutex_lock(&sink.lock);
    (void)snprintf(sink.host, sizeof(sink.host), "%s", host);
    (void)pthread_mutex_unlock(&sink.lock);
}
