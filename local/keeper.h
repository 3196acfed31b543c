/*
 * keeper - the part of local that has root's rights, and parses no mail.
 *
 * It is forked before anything else happens, has one thread, and does one
 * thing: make a worker process that is a given user. It takes a fixed-size
 * request with the worker's end of a socket pair and refuses uid and gid 0, the
 * owner of the queue, and by number anything below the minimum that it was told
 * before the brain read any mail. A brain that was taken over can act as any
 * ordinary user, not as root.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"

#include <stdint.h>
#include <sys/types.h>

enum { KEEPER_NAME_MAX = 64, KEEPER_GIDS_MAX = 16 };

/* Whom a worker shall be: a user by name, or else these ids. */
struct keeper_user {
    char name[KEEPER_NAME_MAX]; /* empty: uid and gid count */
    uid_t uid;
    gid_t gid;
};

/*
 * Fork the keeper; returns the brain's end of its socket, or -1. Before any
 * thread, scheduler or descriptor that it should not have.
 */
int keeper_start(void);

/* What no worker may be, and what some are besides. */
struct keeper_limits {
    uid_t minimum;     /* of uid and gid of a worker by number */
    uid_t queue_owner; /* nobody becomes him; (uid_t)-1: he is no other */
    /*
     * The group of the mail spool directory, which workers by name get so that
     * they can create mailboxes and dotlocks there; (gid_t)-1: none.
     */
    gid_t spool_group;
    gid_t gids[KEEPER_GIDS_MAX]; /* below minimum, but main.cf names them */
    unsigned gid_count;
};

/* Once, before mail is read: what comes later does not count. */
void keeper_limit(int keeper, const struct keeper_limits *limits) ATTR_NONNULL;

/*
 * Ask for a worker; *fd is our end of its link. The keeper's refusal shows as
 * the end of that link. Does not wait.
 */
enum result keeper_worker(int keeper, const struct keeper_user *user, int *fd,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
