/*
 * answers - what lists in DNS say of a session's client, names and addresses.
 *
 * A name is asked for once in a session, and those of one restriction list at
 * the same time: the first one that evaluation comes to has all behind it
 * asked as well.
 */
#pragma once

#include "lib/base/attr.h"
#include "smtpd/evaluation.h"

struct session;

enum answer_status {
    ANSWER_LISTED,
    ANSWER_NOT_LISTED,
    ANSWER_UNKNOWN, /* DNS failed; logged */
};

/* Ask what the checks of list from the given one on want to know. */
void answers_ask(struct evaluation *e, const struct check_list *list,
    size_t from) ATTR_NONNULL;

/* Is what c asks for listed, by its pattern? Waits. */
enum answer_status answers_find(struct evaluation *e, const struct check *c)
    ATTR_NONNULL;

/* The reason (TXT) of what was found to be listed; may be empty. Waits. */
const char *answers_reason(struct evaluation *e, const struct check *c)
    ATTR_NONNULL;

/* The session ends. */
void answers_free(struct session *s) ATTR_NONNULL;
