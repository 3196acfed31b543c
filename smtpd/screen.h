/*
 * screen - before the session: who may talk to the server at all. What Postfix
 * does in postscreen(8), by its parameters and log lines.
 *
 * A service of program "postscreen" is served here as well: a connection begins
 * under that service's profile, is screened on its own fiber, and goes on in the
 * same connection under the profile of smtpd_service_name when it passes.
 * Clients that are known to be good cost one question to lookup's memory.
 *
 * Where Postfix has a client that is new and passed the tests after the greeting
 * come again, because it cannot hand over a connection in the midst of a
 * session, here it goes on: the session itself looks for what these tests look
 * for, until the first RCPT.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "smtpd/command.h"

#include <stdbool.h>

struct config;
struct config_set;
struct profile;
struct screen;
struct session;

/*
 * What the configuration of a postscreen service says; set is for the names of
 * others in the log.
 */
enum result screen_open(const struct config *config,
    const struct config_set *set, struct screen **screen, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void screen_close(struct screen *screen); /* NULL is welcome */

/* Of the profile that it belongs to, and of who passes: when all are compiled. */
void screen_link(const struct profile *own, const struct profile *next)
    ATTR_NONNULL;

/*
 * Screen a client whose address is known, s->profile being the service's that
 * screens. True: it passed, and s->profile is that of the server behind. False:
 * it was told what there is to tell, and is to be disconnected. Waits.
 */
bool screen_client(struct session *s) ATTR_NONNULL ATTR_MUST_USE;

enum screen_answer {
    SCREEN_GO_ON,
    SCREEN_REFUSED, /* was answered */
    SCREEN_DROPPED, /* answered, and to be disconnected */
};

/*
 * A command of a client whose tests after the greeting are under way
 * (s->screening is set): before it is done. Waits.
 */
enum screen_answer screen_command(struct session *s, enum verb verb,
    struct slice line) ATTR_NONNULL ATTR_MUST_USE;

/* The session ends: what was passed is remembered. */
void screen_end(struct session *s) ATTR_NONNULL;
