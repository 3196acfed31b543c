/*
 * profile_private - profile.c keeps the profiles of all services and snapshots,
 * profile_compile.c makes one.
 */
#pragma once

#include "smtpd/profile.h"

/*
 * From p->config; what tells one service from another is there already. On
 * failure too, p is for profile_fini(). Waits.
 */
enum result profile_compile(struct profile *p, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void profile_fini(struct profile *p) ATTR_NONNULL;
