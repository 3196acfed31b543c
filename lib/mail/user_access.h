/*
 * user_access - may a local user do this? authorized_submit_users,
 * authorized_flush_users, authorized_mailq_users.
 *
 * A list may name tables: qmgr, which opens none, asks lookup.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/ipc/link.h"

#include <stdbool.h>
#include <sys/types.h>

struct config;

enum { USER_NAME_MAX = 64 };

/* His login name. False: there is none. Waits. */
bool user_name(uid_t uid, char name[USER_NAME_MAX]) ATTR_NONNULL ATTR_MUST_USE;

/*
 * list is a parameter's value: names of users, "!name", "/file", "type:table",
 * "static:anyone"; a uid without a name is "unknown". RESULT_PERMFAIL 5.7.1:
 * "User name(uid) is not allowed to submit mail", with what for the last words.
 * root and mail_owner always may. Waits.
 */
enum result user_access_check(const struct config *config, const char *list,
    uid_t uid, const char *what, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

enum user_right { USER_MAY_LIST, USER_MAY_FLUSH };

/*
 * user_access_check() with the parameter of right, asked of lookup unless
 * everybody has it. Waits.
 */
enum result user_access_ask(const struct config *config, enum user_right right,
    uid_t uid, int64_t deadline_ms, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* lookup's end: the answer to a USER_ASK. Waits. */
void user_access_answer(const struct config *config, struct request *r)
    ATTR_NONNULL;
