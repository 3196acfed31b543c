/*
 * cleanup - the one way into the queue (DESIGN section 4): header clean-up,
 * Received:, missing Message-Id:, Date:, From:, address mapping, then
 * submission.
 *
 * A message being cleaned belongs to one fiber. What Postfix's cleanup logs is
 * logged here under the tag of the cleanup service.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/mail/envelope.h"
#include "lib/mail/submission.h"

struct cleanup;

/*
 * Who submits: chooses the cleanup service (service name in master.cf) and what
 * is completed.
 */
struct cleanup_options {
    struct config_set *set;
    const char *service; /* cleanup_service_name of the submitter */
    bool own_client;     /* local_header_rewrite_clients matched, sendmail,
                                 bounces, forwards: add missing headers */
    bool resent;         /* sendmail -t with Resent- fields */
    const struct settlement *settles;  /* may be NULL */
    const struct cleanup_queue *queue; /* NULL: qmgr, by lib/mail/submission */
};

/* Where the message goes: replaced by tests. */
struct cleanup_queue {
    enum result (
        *submit)(struct submission *s, int64_t deadline, struct why *why);
    enum result (*borrow_blob)(uint64_t id, int64_t deadline, struct blob *blob,
        struct why *why);
    void (*return_blob)(struct blob *blob);
};

/*
 * Begin a message. env is copied, its texts are not: they live as long as
 * arena, which also bounds what the message keeps in memory. env->id is set
 * (submission_next_id()).
 */
enum result cleanup_begin(const struct cleanup_options *options,
    const struct envelope *env, struct arena *arena, struct cleanup **c,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * What became known of the message since cleanup_begin(): flags are added;
 * filter and recipients take the place of the former ones. Texts live as long as
 * the arena.
 */
void cleanup_amend(struct cleanup *c, const struct envelope *env) ATTR_NONNULL;

/*
 * A header that the submitter puts on top (Received:, Return-Path: ...), with
 * folding as it shall stand, each line ended with CRLF. Before the first
 * cleanup_content().
 */
void cleanup_prepend(struct cleanup *c, struct slice header) ATTR_NONNULL;

/*
 * Content octets: lines with CRLF ends, dots taken off, in pieces of any size.
 * The last line may lack its CRLF: one is added; a bare LF is taken for a line
 * end, a bare CR becomes a space (cleanup_replace_stray_cr_lf). On failure the error is kept
 * and later calls do nothing: the submitter reads on to the final dot. Waits
 * (when a body grows past queue_inline_limit and goes to a blob).
 */
void cleanup_content(struct cleanup *c, struct slice octets) ATTR_NONNULL;

/*
 * The reply code that Postfix gives for a failure of clean-up: 552 for what is
 * too large, 452 for a full disk, 554 for loops, ... The reply is that code, the
 * status and the text of why, which begins with "Error: " where Postfix has it.
 */
int cleanup_reply_code(enum result res, const struct why *why) ATTR_NONNULL;

/*
 * End of content: map addresses, log, submit. RESULT_OK: it is durable. c is
 * freed in any case. Waits.
 */
enum result cleanup_end(struct cleanup *c, int64_t deadline, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* The client left or aborted: give back what was borrowed and free. */
void cleanup_abort(struct cleanup *c);

/* Let go of the tables that are kept open for each cleanup service. */
void cleanup_close_tables(void);
