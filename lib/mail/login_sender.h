/*
 * login_sender - which senders a local user may give to sendmail(1):
 * local_login_sender_maps.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <sys/types.h>

struct config;

/*
 * sender as the user gave it, in internal form; empty: the null sender.
 * RESULT_PERMFAIL 5.7.1: it is not his. Waits.
 */
enum result login_sender_check(const struct config *config, uid_t uid,
    struct slice sender, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
