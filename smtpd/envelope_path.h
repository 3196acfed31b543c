/*
 * envelope_path - the path of MAIL FROM and RCPT TO in a session: taken, or
 * refused in the command's words.
 */
#pragma once

#include "smtpd/path_argument.h"
#include "smtpd/session.h"

enum path_role { PATH_SENDER, PATH_RECIPIENT };

/*
 * What args give: the address in the arena, the parameters borrowed from args.
 * False: *no says what is wrong with it.
 */
bool envelope_path_take(const struct session *s, enum path_role role,
    struct slice args, struct arena *arena, struct path_argument *path,
    struct refusal *no) ATTR_NONNULL ATTR_MUST_USE;
