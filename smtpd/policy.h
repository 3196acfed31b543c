/*
 * policy - a server that decides about access (check_policy_service): attributes
 * to it, one name=value a line, an empty line at the end; an action back.
 *
 * Connections are kept and shared by the sessions of the process; one session at
 * a time uses one. A server is one for each restriction that names it.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

struct policy;

/*
 * text is "inet:host:port", "unix:path", or "{ one of these, name=value ... }"
 * with settings that replace smtpd_policy_service_NAME. A path is relative to
 * queue_directory. Freed with policy_free().
 */
enum result policy_parse(struct slice text, const struct config *config,
    struct policy **policy, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Nobody asks it. NULL is welcome. */
void policy_free(struct policy *policy);

/* As it was written, without settings; for logs. */
const char *policy_name(const struct policy *policy) ATTR_NONNULL;

/* policy_context and default_action of this server. */
const char *policy_context(const struct policy *policy) ATTR_NONNULL;
const char *policy_default_action(const struct policy *policy) ATTR_NONNULL;

/*
 * request is complete, its empty line included. action is replaced. A failure is
 * the last of as many attempts as are allowed. Waits.
 */
enum result policy_ask(struct policy *policy, struct slice request,
    struct buf *action, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
