/*
 * local - delivers to mailboxes on this machine: local(8), virtual(8).
 *
 * Started as root it splits in two before it reads anything: this process, the
 * brain, which gives root up as soon as it knows mail_owner and only then meets
 * mail, and the keeper, which makes processes that are users (keeper.h).
 * Started by anybody else all of it is that user.
 */
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/daemon/daemon.h"
#include "local/agent.h"
#include "local/keeper.h"
#include "local/workers.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* The process's own, set before there is anything else. */
static int keeper;
static bool rights_given_up;

static enum result
give_up_root(const struct config *config, struct why *why)
{
    struct passwd *pw;

    if (geteuid() != 0)
        return RESULT_OK;
    errno = 0;
    pw = getpwnam(config->mail_owner);
    if (pw == NULL || pw->pw_uid == 0)
        return why_perm(why, "5.3.5",
            "mail_owner: \"%s\" is not an unprivileged user",
            config->mail_owner);
    if (initgroups(pw->pw_name, pw->pw_gid) < 0 ||
        setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) < 0 ||
        setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid) < 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return why_errno(why, "become %s", config->mail_owner);
    return RESULT_OK;
}

/* Workers by name may create mailboxes and dotlocks in the mail spool. */
static gid_t
spool_group(const struct config *config)
{
    struct stat st;

    if (stat(config->mail_spool_directory, &st) < 0 ||
        (st.st_mode & (S_IWGRP | S_IWOTH)) != S_IWGRP || st.st_gid == 0)
        return (gid_t)-1;
    return st.st_gid;
}

static int64_t
smallest_minimum_uid(struct config_set *set)
{
    int64_t minimum = config_main(set)->virtual_minimum_uid;

    for (size_t i = 0; i < config_service_count(set); i++)
        if (config_service(set, i)->config->virtual_minimum_uid < minimum)
            minimum = config_service(set, i)->config->virtual_minimum_uid;
    return minimum;
}

/*
 * The keeper learns its limits once, while we still are what master started: a
 * later change of virtual_minimum_uid counts after a restart.
 */
static enum result
configure(struct config_set *set, struct why *why)
{
    enum result res;

    if (!rights_given_up) {
        keeper_limits(keeper, (uid_t)smallest_minimum_uid(set),
            spool_group(config_main(set)));
        res = give_up_root(config_main(set), why);
        if (res != RESULT_OK)
            return res;
        rights_given_up = true;
    }
    res = user_configure(set, why);
    if (res == RESULT_OK)
        res = virtual_configure(set, why);
    return res;
}

static const struct link_handler handlers[] = {
    { MESSAGE_DELIVER, agent_serve, SERVE_FIBER },
    { 0 },
};

static const struct daemon_options options = {
    .role = ROLE_LOCAL,
    .configure = configure,
    .handlers = handlers,
};

int
main(int argc, char **argv)
{
    keeper = keeper_start();
    if (keeper < 0)
        return EX_OSERR;
    daemon_init(argc, argv, &options);
    workers_open(keeper);
    return daemon_run();
}
