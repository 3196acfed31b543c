/*
 * spawn - runs a program of the admin's for each connection: spawn(8).
 *
 * Started as root it stays so, because each program is a user of its own. It
 * reads master's messages and nothing else: what comes over a connection is for
 * the program, to which it is handed unread.
 */
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "lib/io/offload.h"
#include "lib/io/program.h"
#include "spawn/service.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_EARLIER_MS = 200 }; /* than the deadline of a drain */

/* A program that runs, by its process. */
struct run {
    struct list node;
    const char *service; /* the name of its line; while it runs */
    pid_t pid;
    bool killed; /* by us */
};

/* The process's. */
static struct list runs = LIST_INIT(runs);
static struct fiber_cond ended;

/* services_use() on the thread's stack. */
struct reading {
    struct config_set *set;
    struct why *why;
    enum result res;
};

static void
read_services(void *arg)
{
    struct reading *r = arg;

    r->res = services_use(r->set, r->why);
}

static enum result
configure(struct config_set *set, struct why *why)
{
    struct reading r = { .set = set, .why = why };

    on_thread_stack(read_services, &r);
    return r.res;
}

/* In Postfix's words. */
static void
log_end(const char *tag, const char *path, const struct run *r, int status)
{
    if (r->killed)
        return;
    if (WIFSIGNALED(status))
        log_write(LOG_LEVEL_WARNING, tag, "command %s killed by signal %d",
            path, WTERMSIG(status));
    else if (WEXITSTATUS(status) == PROGRAM_NOT_RUN)
        log_write(LOG_LEVEL_WARNING, tag,
            "command %s exit status %d: it may not be there, or not be run by "
            "its user",
            path, WEXITSTATUS(status));
    else if (WEXITSTATUS(status) != 0)
        log_write(LOG_LEVEL_WARNING, tag, "command %s exit status %d", path,
            WEXITSTATUS(status));
}

static void
wait_for_end(struct run *r, const char *tag, const char *path, int64_t limit)
{
    int64_t deadline = limit == 0 ? CLOCK_NEVER : clock_now_ms() + limit;
    int status;

    list_append(&runs, &r->node);
    switch (program_wait(r->pid, deadline, &status)) {
    case PROGRAM_ENDED:
    case PROGRAM_CANCELLED:
        break;
    case PROGRAM_LATE:
        log_write(LOG_LEVEL_WARNING, tag,
            "%s: process id %ld: command time limit exceeded", path,
            (long)r->pid);
        r->killed = true;
        break;
    case PROGRAM_UNWATCHED:
        log_write(LOG_LEVEL_WARNING, tag,
            "%s: process id %ld: killed, since its end cannot be waited for: "
            "%m",
            path, (long)r->pid);
        r->killed = true;
        break;
    }
    list_remove(&r->node);
    log_end(tag, path, r, status);
    fiber_cond_broadcast(&ended);
}

/*
 * maxproc counts in memory that processes without rights can write to: what is
 * run with root's help is counted here as well.
 */
static bool
has_room(const struct service *service)
{
    int64_t n = 0;

    list_foreach (it, &runs)
        n += strcmp(LIST_ENTRY(it, struct run, node)->service, service->name) ==
            0;
    return service->maxproc == 0 || n < service->maxproc;
}

static void
serve(int fd, const struct sock_addr *client, const struct service *service,
    struct config_set *set, const char *public)
{
    const struct program_service *s = services_find(service);
    struct run r = { .pid = -1 };
    char *path, *name;
    int64_t limit;

    (void)client;
    (void)set;
    (void)public;
    if (s == NULL || !has_room(service)) {
        close(fd);
        return;
    }
    name = mem_text(service->name); /* neither outlives a reload */
    path = mem_text(s->argv[0]);
    limit = s->time_limit;
    r.pid = program_start(&(struct program){
        .argv = s->argv,
        .environment = s->environment,
        .in = fd,
        .out = fd,
        .err = fd,
        .change_user = geteuid() == 0,
        .uid = s->uid,
        .gid = s->gid,
    });
    if (r.pid < 0)
        log_write(LOG_LEVEL_WARNING, service->log_tag, "run %s: %s", path,
            strerror(errno));
    close(fd);
    r.service = name;
    if (r.pid > 0)
        wait_for_end(&r, service->log_tag, path, limit);
    mem_free(path);
    mem_free(name);
}

/*
 * Who asked has had his answers, or is about to leave. A program that does not
 * end by itself is ended.
 */
static void
drain(int64_t deadline_ms)
{
    int64_t until = deadline_ms - KILL_EARLIER_MS;

    while (!list_empty(&runs) && fiber_cond_wait(&ended, until) == WAIT_OK)
        ;
    list_foreach (it, &runs) {
        struct run *r = LIST_ENTRY(it, struct run, node);

        r->killed = true;
        (void)kill(-r->pid, SIGKILL);
    }
}

int
main(int argc, char **argv)
{
    static const struct link_handler handlers[] = {
        { MESSAGE_NONE, NULL, SERVE_INLINE },
    };
    static const struct daemon_options options = {
        .role = ROLE_SPAWN,
        .configure = configure,
        .handlers = handlers,
        .serve = serve,
        .drain = drain,
    };

    fiber_cond_init(&ended);
    daemon_init(argc, argv, &options);
    return daemon_run();
}
