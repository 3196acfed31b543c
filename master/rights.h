/*
 * rights - which user each process of the instance is.
 *
 * Started as root: mail_owner for those who talk to the network, queue_owner
 * for the queue, root for local, which splits itself, and for spawn, whose
 * programs are users. Started by anybody else,
 * everything is that user and the parameters are not looked at.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/ipc/protocol.h"

#include <stdbool.h>
#include <sys/types.h>

struct identity {
    uid_t uid;
    gid_t gid;
};

struct rights {
    bool root; /* we are, and can become the others */
    struct identity self, mail_owner, queue_owner;
    gid_t setgid_group;
    bool queue_apart; /* queue_owner is not mail_owner */
};

/* RESULT_PERMFAIL names the parameter whose user or group is missing. */
enum result rights_find(const struct config *config, struct rights *rights,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

struct identity rights_of_role(const struct rights *rights, enum role role)
    ATTR_NONNULL;

/*
 * Become that identity for good, between fork and exec. False when that did
 * not work.
 */
bool rights_become(const struct rights *rights, struct identity who)
    ATTR_NONNULL ATTR_MUST_USE;
