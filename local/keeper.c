#include "local/keeper.h"

#include "lib/io/sock.h"
#include "local/worker.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { GROUPS_MAX = 256 };

enum request_kind { REQUEST_LIMITS = 1, REQUEST_WORKER };

/* The brain and the keeper are one program: a struct may travel as it is. */
struct keeper_request {
    enum request_kind kind;
    struct keeper_user user;
    struct keeper_limits limits;
};

struct keeper {
    int socket;
    bool limited; /* the first REQUEST_LIMITS counts, no later one */
    struct keeper_limits limits;
};

/* The ids and groups of a worker; false when it must not be made. */
struct identity {
    uid_t uid;
    gid_t gid;
    gid_t groups[GROUPS_MAX];
    int group_count;
};

static bool
identity_of_name(const struct keeper *k, const char *name, struct identity *id)
{
    struct passwd *pw = getpwnam(name);

    if (pw == NULL)
        return false;
    id->uid = pw->pw_uid;
    id->gid = pw->pw_gid;
    id->group_count = GROUPS_MAX - 1;
    if (getgrouplist(name, pw->pw_gid, id->groups, &id->group_count) < 0)
        return false;
    if (k->limits.spool_group != (gid_t)-1)
        id->groups[id->group_count++] = k->limits.spool_group;
    return true;
}

/* A group of the system's (disk, shadow) would be as good as root. */
static bool
is_ordinary_group(const struct keeper_limits *limits, gid_t gid)
{
    for (unsigned i = 0; i < limits->gid_count && i < KEEPER_GIDS_MAX; i++)
        if (limits->gids[i] == gid)
            return true;
    return gid >= limits->minimum;
}

static bool
identity_of(const struct keeper *k, const struct keeper_user *user,
    struct identity *id)
{
    if (user->name[0] != '\0')
        return identity_of_name(k, user->name, id);
    *id = (struct identity){ .uid = user->uid,
        .gid = user->gid,
        .groups = { user->gid },
        .group_count = 1 };
    return id->uid >= k->limits.minimum &&
        is_ordinary_group(&k->limits, id->gid);
}

/* To setresuid() and its like -1 means that all stays as it is: root. */
static bool
is_nobody(const struct keeper *k, const struct identity *id)
{
    return id->uid == 0 || id->gid == 0 || id->uid == (uid_t)-1 ||
        id->gid == (gid_t)-1 || id->uid == k->limits.queue_owner;
}

/* Not root: everything is done as the user that we are, and nobody else. */
static bool
become(const struct keeper *k, const struct identity *id)
{
    if (geteuid() != 0)
        return id->uid == geteuid();
    if (is_nobody(k, id))
        return false;
    return setgroups((size_t)id->group_count, id->groups) == 0 &&
        setresgid(id->gid, id->gid, id->gid) == 0 &&
        setresuid(id->uid, id->uid, id->uid) == 0 && geteuid() == id->uid &&
        setuid(0) < 0;
}

static void
make_worker(const struct keeper *k, const struct keeper_user *user, int fd)
{
    struct identity id;
    pid_t pid;

    if (!k->limited || !identity_of(k, user, &id))
        return;
    pid = fork();
    if (pid != 0)
        return;
    close(k->socket);
    (void)signal(SIGCHLD, SIG_DFL);
    if (!become(k, &id))
        _exit(EX_NOPERM);
    /* Now: a change of user clears it. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)umask(077);
    _exit(worker_run(fd));
}

static void
serve(struct keeper *k, const struct keeper_request *r, int fd)
{
    switch (r->kind) {
    case REQUEST_LIMITS:
        if (!k->limited) {
            k->limited = true;
            k->limits = r->limits;
        }
        break;
    case REQUEST_WORKER:
        if (fd >= 0 && memchr(r->user.name, '\0', KEEPER_NAME_MAX) != NULL)
            make_worker(k, &r->user, fd);
        break;
    }
}

/* Ends when the brain's end closes. */
static void
run(int socket)
{
    struct keeper k = { .socket = socket };
    struct keeper_request r;
    int fds[SOCK_FDS_MAX];
    unsigned count;

    (void)signal(SIGCHLD, SIG_IGN); /* workers are not waited for */
    (void)signal(SIGTERM, SIG_IGN); /* the brain's end is our end */
    (void)signal(SIGINT, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
    for (;;) {
        struct pollfd pfd = { .fd = socket, .events = POLLIN };
        ssize_t n;

        if (poll(&pfd, 1, -1) < 0) /* a signal */
            continue;
        n = sock_recv_fds(socket, &r, sizeof(r), fds, &count);
        if (n != (ssize_t)sizeof(r))
            _exit(EX_OK);
        serve(&k, &r, count == 1 ? fds[0] : -1);
        for (unsigned i = 0; i < count; i++)
            close(fds[i]);
    }
}

int
keeper_start(void)
{
    int pair[2];
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    pid = fork();
    if (pid < 0) {
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    if (pid == 0) {
        /* Nothing of the brain's: its link to master is not ours to hold. */
        if (dup2(pair[1], 3) < 0)
            _exit(EX_OSERR);
        (void)close_range(4, ~0U, 0);
        run(3);
    }
    close(pair[1]);
    return pair[0];
}

void
keeper_limit(int keeper, const struct keeper_limits *limits)
{
    struct keeper_request r = { .kind = REQUEST_LIMITS, .limits = *limits };

    (void)sock_send_fds(keeper, (struct slice){ (const char *)&r, sizeof(r) },
        NULL, 0);
}

enum result
keeper_worker(int keeper, const struct keeper_user *user, int *fd,
    struct why *why)
{
    struct keeper_request r = { .kind = REQUEST_WORKER, .user = *user };
    int pair[2];

    if (sock_pair(pair) < 0)
        return why_errno(why, "socket for a mailbox worker");
    if (sock_send_fds(keeper, (struct slice){ (const char *)&r, sizeof(r) },
            &pair[1], 1) != (ssize_t)sizeof(r)) {
        enum result res = why_errno(why, "ask for a mailbox worker");

        close(pair[0]);
        close(pair[1]);
        return res;
    }
    close(pair[1]);
    *fd = pair[0];
    return RESULT_OK;
}
