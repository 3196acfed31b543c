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
#include "lib/base/num.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/late_report.h"
#include "lib/table/table.h"
#include "local/agent.h"
#include "local/keeper.h"
#include "local/workers.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
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

/* Does local deliver to mail_spool_directory, or to homes only? */
static bool
uses_mail_spool(struct config_set *set)
{
    for (size_t i = 0; i < config_service_count(set); i++) {
        const struct service *s = config_service(set, i);

        if (strcmp(s->program, "local") == 0 &&
            s->config->home_mailbox[0] == '\0')
            return true;
    }
    return false;
}

/*
 * Workers by name may create mailboxes and dotlocks in the mail spool; but not
 * those of users whose home directory decides where they write.
 */
static gid_t
spool_group(struct config_set *set)
{
    struct stat st;

    if (!uses_mail_spool(set) ||
        stat(config_main(set)->mail_spool_directory, &st) < 0 ||
        (st.st_mode & (S_IWGRP | S_IWOTH)) != S_IWGRP || st.st_gid == 0)
        return (gid_t)-1;
    return st.st_gid;
}

/* The spool's, where he is not the user that we are about to be as well. */
static uid_t
queue_owner(struct config_set *set)
{
    char *path = mem_format("%s/spool", config_main(set)->queue_directory);
    struct passwd *pw = getpwnam(config_main(set)->mail_owner);
    uid_t owner = (uid_t)-1;
    struct stat st;

    if (lstat(path, &st) == 0 && (pw == NULL || pw->pw_uid != st.st_uid))
        owner = st.st_uid;
    mem_free(path);
    return owner;
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

/* "static:8": an admin's word, whatever the minimum is. */
static void
add_static_gids(const struct config *config, struct keeper_limits *limits)
{
    const struct slice prefix = SLICE_LIT("static:");
    struct slice rest = slice_of(config->virtual_gid_maps), map;
    uint32_t gid;

    while (config_list_next(&rest, &map) && limits->gid_count < KEEPER_GIDS_MAX)
        if (slice_starts(map, prefix) &&
            num_parse_u32(slice_skip(map, prefix.len), INT32_MAX, &gid))
            limits->gids[limits->gid_count++] = gid;
}

static void
set_limits(struct config_set *set)
{
    struct keeper_limits limits = {
        .minimum = (uid_t)smallest_minimum_uid(set),
        .queue_owner = queue_owner(set),
        .spool_group = spool_group(set),
    };

    add_static_gids(config_main(set), &limits);
    for (size_t i = 0; i < config_service_count(set); i++)
        if (strcmp(config_service(set, i)->program, "virtual") == 0)
            add_static_gids(config_service(set, i)->config, &limits);
    keeper_limit(keeper, &limits);
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
        set_limits(set);
        res = give_up_root(config_main(set), why);
        if (res != RESULT_OK)
            return res;
        rights_given_up = true;
    }
    res = user_configure(set, why);
    if (res == RESULT_OK)
        res = virtual_configure(set, why);
    if (res == RESULT_OK && daemon_index() == 0)
        table_warn_unavailable();
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
    .peer_up = late_report_peer_up,
    .peer_gone = late_report_peer_gone,
};

int
main(int argc, char **argv)
{
    keeper = keeper_start();
    if (keeper < 0)
        return EX_OSERR;
    daemon_init(argc, argv, &options);
    if (!workers_open(keeper))
        return EX_OSERR;
    return daemon_run();
}
