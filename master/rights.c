#include "master/rights.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#define QUEUE_OWNER_DEFAULT "postern-queue"

static enum result
find_user(const char *parameter, const char *name, struct identity *who,
    struct why *why)
{
    struct passwd *pw;

    errno = 0;
    pw = getpwnam(name);
    if (pw == NULL)
        return why_perm(why, "5.3.5", "parameter %s: unknown user: %s",
            parameter, name);
    if (pw->pw_uid == 0 || pw->pw_gid == 0)
        return why_perm(why, "5.3.5",
            "parameter %s: user %s has root's user or group id", parameter,
            name);
    *who = (struct identity){ pw->pw_uid, pw->pw_gid };
    return RESULT_OK;
}

static enum result
find_group(const char *parameter, const char *name, gid_t *gid, struct why *why)
{
    struct group *gr = getgrnam(name);

    if (gr == NULL)
        return why_perm(why, "5.3.5", "parameter %s: unknown group: %s",
            parameter, name);
    *gid = gr->gr_gid;
    return RESULT_OK;
}

static enum result
find_queue_owner(const struct config *config, struct rights *r, struct why *why)
{
    if (config->queue_owner[0] != '\0')
        return find_user("queue_owner", config->queue_owner, &r->queue_owner,
            why);
    if (getpwnam(QUEUE_OWNER_DEFAULT) != NULL)
        return find_user("queue_owner", QUEUE_OWNER_DEFAULT, &r->queue_owner,
            why);
    r->queue_owner = r->mail_owner;
    return RESULT_OK;
}

enum result
rights_find(const struct config *config, struct rights *rights, struct why *why)
{
    struct rights r = { .self = { geteuid(), getegid() } };
    enum result res;

    r.root = r.self.uid == 0;
    if (!r.root) {
        r.mail_owner = r.queue_owner = r.self;
        r.setgid_group = r.self.gid;
        *rights = r;
        return RESULT_OK;
    }
    res = find_user("mail_owner", config->mail_owner, &r.mail_owner, why);
    if (res == RESULT_OK)
        res = find_queue_owner(config, &r, why);
    if (res == RESULT_OK)
        res = find_group("setgid_group", config->setgid_group, &r.setgid_group,
            why);
    if (res != RESULT_OK)
        return res;
    r.queue_apart = r.queue_owner.uid != r.mail_owner.uid;
    *rights = r;
    return RESULT_OK;
}

struct identity
rights_of_role(const struct rights *rights, enum role role)
{
    if (role == ROLE_QMGR)
        return rights->queue_owner;
    return role == ROLE_LOCAL || role == ROLE_SPAWN ? rights->self
                                                    : rights->mail_owner;
}

bool
rights_become(const struct rights *rights, struct identity who)
{
    if (!rights->root || who.uid == rights->self.uid)
        return true;
    return setgroups(1, &who.gid) == 0 &&
        setresgid(who.gid, who.gid, who.gid) == 0 &&
        setresuid(who.uid, who.uid, who.uid) == 0;
}
