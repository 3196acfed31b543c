/*
 * restriction - who may do what: smtpd_client_restrictions and its kin, and
 * local_header_rewrite_clients.
 *
 * restrictions[] declares each restriction once: name, what it takes, what it
 * does. A list is parsed when the configuration is read, and a name that is not
 * declared stops the start: to ignore it would let in what its admin wanted
 * out. Each check is straight-line code on the session's fiber and may wait.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "smtpd/refusal.h"

#include <stdbool.h>
#include <stddef.h>

struct session;
struct evaluation;

enum stage {
    STAGE_CLIENT,
    STAGE_HELO,
    STAGE_SENDER,
    STAGE_RELAY,
    STAGE_RECIPIENT,
    STAGE_DATA,
    STAGE_END_OF_DATA,
    STAGE_REWRITE, /* local_header_rewrite_clients: who gets missing headers */
    STAGE_COUNT,
};

enum verdict {
    VERDICT_NONE,    /* ask the next */
    VERDICT_PERMIT,  /* this list is done */
    VERDICT_REFUSED, /* the refusal is set */
};

enum restriction_argument { ARGUMENT_NONE, ARGUMENT_NUMBER, ARGUMENT_CHECK };

enum restriction_flag {
    /* Makes a list safe against relaying for all the world. */
    RESTRICTION_GUARDS_RELAY = 1 << 0,
    /* May stand in local_header_rewrite_clients. */
    RESTRICTION_FOR_REWRITE = 1 << 1,
};

struct check;
struct restriction {
    const char *name;
    enum verdict (*run)(struct evaluation *e, const struct check *c);
    enum restriction_argument argument;
    unsigned flags; /* set of enum restriction_flag */
};

extern const struct restriction restrictions[]; /* name NULL at the end */

/* A restriction in a list. */
struct check {
    const struct restriction *what;
    unsigned number; /* ARGUMENT_NUMBER */
    /* ARGUMENT_CHECK: the check behind it belongs to it. */
};

struct check_list {
    struct check *checks;
    size_t count;
};

/*
 * Parse a parameter's value. parameter is its name, for the message. *list is
 * freed with check_list_free(), also after a failure.
 */
enum result check_list_parse(const char *parameter, enum stage stage,
    const char *text, struct check_list *list, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void check_list_free(struct check_list *list) ATTR_NONNULL;

bool check_list_guards_relay(const struct check_list *list) ATTR_NONNULL;

/*
 * What a check works on. A restriction refuses with evaluation_refuse(); what
 * is to be refused only if nothing else refuses (or permits) is remembered.
 */
struct evaluation {
    struct session *s;
    enum stage stage;
    struct refusal *no;
    struct refusal if_permit; /* code 0: none */
    struct refusal if_reject;
    bool warn;                            /* warn_if_reject is in front */
    bool listed_recipient, listed_sender; /* were checked already */
};

/* *no is good only until the evaluation ends. */
void evaluation_begin(struct evaluation *e, struct session *s,
    struct refusal *no) ATTR_NONNULL;

/*
 * Sets the refusal, or, behind warn_if_reject, logs it and goes on. The text is
 * as the client will see it.
 */
enum verdict evaluation_refuse(struct evaluation *e, int code,
    const char *status, const char *fmt, ...) ATTR_PRINTF(4, 5);

/* One list of the session's profile. Waits. */
enum verdict evaluation_run(struct evaluation *e, enum stage stage)
    ATTR_NONNULL;

/* The end: what was remembered comes due. */
enum verdict evaluation_end(struct evaluation *e, enum verdict verdict)
    ATTR_NONNULL;
