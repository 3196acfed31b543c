/*
 * evaluation - the restriction lists of a session, asked one after another.
 *
 * A check returns a verdict. It refuses with evaluation_refuse() and its kin,
 * which know of warn_if_reject; what is to be refused only if nothing else
 * refuses (or permits) is remembered. Each check is straight-line code on the
 * session's fiber and may wait.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/mail/status.h"
#include "smtpd/refusal.h"
#include "smtpd/restriction.h"

#include <stdbool.h>

struct session;

/* What a check is about, as replies name it: "<text>: Client host rejected". */
enum subject_class {
    SUBJECT_CLIENT,
    SUBJECT_REVERSE_CLIENT,
    SUBJECT_CERTIFICATE,
    SUBJECT_LOGIN,
    SUBJECT_HELO,
    SUBJECT_SENDER,
    SUBJECT_RECIPIENT,
    SUBJECT_ETRN,
    SUBJECT_DATA,
    SUBJECT_END_OF_DATA,
};

struct subject {
    enum subject_class class;
    struct slice text; /* lives as long as the command */
};

const char *subject_name(enum subject_class class);

struct evaluation {
    struct session *s;
    enum stage stage;
    struct subject subject;
    struct refusal *no;
    struct refusal if_permit; /* code 0: none */
    struct refusal if_reject;
    unsigned depth; /* of lists in lists */
    unsigned warn;  /* the depth at which warn_if_reject holds; 0: none */
    bool listed_recipient, listed_sender; /* were checked already */
};

/* *no is good only until the evaluation ends. */
void evaluation_begin(struct evaluation *e, struct session *s,
    struct refusal *no) ATTR_NONNULL;

/*
 * The status of a sender makes no sense for a recipient, and the other way round;
 * nor does either for a client (access(5), ENHANCED STATUS CODES).
 */
void evaluation_fit_status(const struct evaluation *e, enum subject_class class,
    char status[STATUS_SIZE]) ATTR_NONNULL;

/*
 * Sets the refusal, or, behind warn_if_reject, logs it and goes on. The text is
 * as the client will see it.
 */
enum verdict evaluation_refuse(struct evaluation *e, int code,
    const char *status, const char *fmt, ...) ATTR_PRINTF(4, 5);

/* "<text>: class rejected: reason" for the subject. */
enum verdict evaluation_refuse_subject(struct evaluation *e,
    const struct subject *subject, int code, const char *status,
    const char *reason) ATTR_NONNULL;

/*
 * A table that cannot be asked, a list that makes no sense: nobody is let in,
 * whatever warn_if_reject says, and nobody turned away for good.
 */
enum verdict evaluation_fail_lookup(struct evaluation *e, const struct why *why)
    ATTR_NONNULL;
enum verdict evaluation_fail_config(struct evaluation *e) ATTR_NONNULL;

/*
 * What is known only later. Behind warn_if_reject it is logged; the first one
 * of its kind stays. when_unknown is reject_tempfail_action or one of its kin:
 * "defer" refuses now.
 */
enum verdict evaluation_defer_if_permit(struct evaluation *e,
    const char *when_unknown, int code, const char *status, const char *fmt,
    ...) ATTR_PRINTF(5, 6);
enum verdict evaluation_defer_if_reject(struct evaluation *e, int code,
    const char *status, const char *fmt, ...) ATTR_PRINTF(4, 5);

/*
 * VERDICT_PERMIT, logged where smtpd_log_access_permit_actions has the name of
 * the action. from is behind it in the log: "from texthash:/file".
 */
enum verdict evaluation_permit(struct evaluation *e, const char *action,
    const struct subject *subject, const char *from) ATTR_NONNULL;

/* One list of the session's profile. Waits. */
enum verdict evaluation_run(struct evaluation *e, enum stage stage)
    ATTR_NONNULL;

/* A list inside a list, about the subject at hand. Waits. */
enum verdict evaluation_run_list(struct evaluation *e,
    const struct check_list *list) ATTR_NONNULL;

/* Another subject for a list that an access table names; the old one. */
struct subject evaluation_turn_to(struct evaluation *e, struct subject subject)
    ATTR_NONNULL;

/* May another list be begun inside this one? */
bool evaluation_is_deep(const struct evaluation *e) ATTR_NONNULL;

/* The end: what was remembered comes due. */
enum verdict evaluation_end(struct evaluation *e, enum verdict verdict)
    ATTR_NONNULL;
