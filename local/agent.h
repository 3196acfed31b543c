/*
 * agent - a delivery request of qmgr's, recipient by recipient.
 *
 * Which program the service line names (local, virtual) decides who the
 * recipients are; see user.h and virtual.h. Every recipient gets one result and
 * one log line.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/ipc/link.h"
#include "lib/mail/delivery.h"
#include "local/mailbox.h"

/* One request, while it is served. */
struct job {
    struct config_set *set;
    const struct service *service;
    const struct config *config; /* of the service */
    const struct delivery *d;
    struct arena *arena;
    int64_t deadline_ms;
};

/*
 * Delivers to one recipient: outcome, status, text and relay of *r are filled
 * in (texts in job->arena). Waits.
 */
typedef void (*deliver_fn)(const struct job *job,
    const struct delivery_recipient *rcpt, struct rcpt_result *r);

void deliver_to_user(const struct job *job,
    const struct delivery_recipient *rcpt, struct rcpt_result *r);
void deliver_to_virtual(const struct job *job,
    const struct delivery_recipient *rcpt, struct rcpt_result *r);

/* Tables that a snapshot names are opened here, once per snapshot. */
enum result user_configure(struct config_set *set, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
enum result virtual_configure(struct config_set *set, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Fill in a result; the text is copied. */
void job_sent(const struct job *job, struct rcpt_result *r, const char *text);
/* The same of a mailbox; of a probe, that it would be. */
void job_stored(const struct job *job, struct rcpt_result *r,
    enum mailbox_kind kind);
void job_failed(const struct job *job, struct rcpt_result *r, enum result res,
    const struct why *why);

/* Put "CONTEXT" before the text of *why. */
void job_blame(struct why *why, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * A mailbox delivery as both kinds of recipients have it: what stands on top,
 * and the content. s->path, kind and limits are the caller's.
 */
enum result job_fill_store(const struct job *job,
    const struct delivery_recipient *rcpt, struct mailbox_store *s,
    struct why *why);

/*
 * s->path = directory "/" name, s->kind by whether it ends in '/': Maildir or
 * mbox. RESULT_TEMPFAIL: too long, or not absolute.
 */
enum result job_set_path(const struct job *job, struct mailbox_store *s,
    struct slice directory, struct slice name, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * A Delivered-To: of the recipient that is already there: RESULT_PERMFAIL 5.4.6.
 * For those who forward mail; virtual only stores it, and asks nobody.
 */
enum result job_check_loop(const struct job *job,
    const struct delivery_recipient *rcpt, struct why *why);

/* Is prepend_delivered_header set for "command", "file" or "forward"? */
bool job_prepends_delivered(const struct job *job, const char *where);

/* link_handler for MESSAGE_DELIVER. */
void agent_serve(struct request *r);
