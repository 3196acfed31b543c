#include "master/trial.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/daemon/control.h"
#include "lib/daemon/install.h"
#include "lib/io/fiber.h"
#include "lib/io/program.h"
#include "lib/io/sock.h"
#include "lib/ipc/link.h"
#include "master/snapshot.h"
#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    ANSWER_MS = 60 * 1000,
    END_MS = 5000, /* without its lifeline it writes its log and ends */
};

/* What fibers share; all is well until one of them finds that it is not. */
struct trial {
    const struct config_set *set;
    const struct rights *rights;
    struct snapshot snapshot;
    int null; /* in place of what only an instance has */
    bool ok;
};

static void
put_copy(struct msg *m, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (copy >= 0)
        msg_put_fd(m, copy);
}

/*
 * A process of a pool that has none keeps off files that have one owner; one
 * that waits for a link does not begin.
 */
static void
make_question(const struct trial *t, enum role role, struct msg *m)
{
    const struct control_configure configure = {
        .length = t->snapshot.length,
        .pool = 0,
        .expected = 1,
        .has_log = true,
        .has_private = role == ROLE_LOOKUP && t->snapshot.table_files >= 0,
    };

    msg_init(m, MESSAGE_CONFIGURE);
    control_configure_encode(&configure, m);
    put_copy(m, t->snapshot.fd);
    put_copy(m, STDERR_FILENO);
    if (configure.has_private)
        put_copy(m, t->snapshot.table_files);
}

static void
take_answer(struct trial *t, enum role role, const struct msg_in *answer)
{
    struct slice rest = answer->body, text = { NULL, 0 };
    uint64_t result = RESULT_PERMFAIL;
    struct tlv v;

    while (tlv_next(&rest, &v))
        if (v.tag == ATTR_TEXT)
            text = v.value;
        else if (v.tag == ATTR_RESULT &&
            !tlv_u64(v.value, RESULT_PERMFAIL, &result))
            result = RESULT_PERMFAIL;
    if (result == RESULT_OK)
        return;
    log_fatal("%s: " SLICE_FMT, role_name(role), SLICE_ARG(text));
    t->ok = false;
}

static void
ask(struct trial *t, enum role role, int fd)
{
    static const struct link_handler none[] = {
        { MESSAGE_NONE, NULL, SERVE_INLINE },
    };
    const struct link_options options = {
        .self = ROLE_MASTER,
        .peer = role,
        .peer_name = role_name(role),
        .handlers = none,
    };
    struct link *l = link_open(fd, &options);
    struct msg_in *answer;
    struct msg m;

    make_question(t, role, &m);
    if (l == NULL ||
        link_call(l, &m, clock_now_ms() + ANSWER_MS, &answer) != LINK_OK) {
        log_fatal("%s: does not answer", role_name(role));
        t->ok = false;
    } else {
        take_answer(t, role, answer);
        msg_in_free(answer);
    }
    link_close(l); /* its lifeline */
}

static void
try_role(struct trial *t, enum role role)
{
    char *path = install_daemon(config_main(t->set), role_name(role));
    struct spawn child = {
        .path = path,
        .children = t->null,
        .foreground = true,
        .rights = t->rights,
        .who = rights_of_role(t->rights, role),
    };
    int fds[2], status;
    pid_t pid = -1;

    if (sock_pair(fds) == 0) {
        child.link = fds[1];
        pid = spawn(&child);
        close(fds[1]);
        if (pid > 0)
            ask(t, role, fds[0]);
        else
            close(fds[0]);
    }
    if (pid <= 0) {
        log_fatal("cannot start %s: %s", path, strerror(errno));
        t->ok = false;
    } else {
        (void)program_wait(pid, clock_now_ms() + END_MS, &status);
    }
    mem_free(path);
}

static void
try_all(void *arg)
{
    static const enum role roles[] = { ROLE_LOOKUP, ROLE_BOUNCE, ROLE_SMTP,
        ROLE_LOCAL, ROLE_SPAWN, ROLE_SMTPD };

    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        try_role(arg, roles[i]);
    sched_stop();
}

bool
trial_run(const struct config_set *set, const struct rights *rights)
{
    struct trial t = { .set = set, .rights = rights, .ok = true };
    struct why why;

    /* Where the daemons will be; a new instance does not have it yet. */
    if (chdir(config_main(set)->queue_directory) < 0 && errno != ENOENT)
        log_warning("%s: %s", config_main(set)->queue_directory,
            strerror(errno));
    if (snapshot_make(set, &t.snapshot, &why) != RESULT_OK) {
        log_fatal("%s", why.text);
        return false;
    }
    t.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sched_open();
    if (t.null < 0 || fiber_spawn("trial", try_all, &t) == NULL)
        t.ok = false;
    else
        sched_run();
    sched_close();
    snapshot_close(&t.snapshot);
    if (t.null >= 0)
        close(t.null);
    return t.ok;
}
