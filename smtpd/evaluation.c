#include "smtpd/evaluation.h"

#include "lib/base/log.h"
#include "lib/base/num.h"
#include "smtpd/answers.h"
#include "smtpd/session.h"

#include <stdarg.h>
#include <stdio.h>

/*
 * Postfix allows a hundred; each costs some of the fiber's stack here, and who
 * needs more than a few has made a circle.
 */
enum { DEPTH_MAX = 10 };

const char *subject_name(enum subject_class class)
{
    static const char *const names[] = {
        [SUBJECT_CLIENT] = "Client host",
        [SUBJECT_REVERSE_CLIENT] = "Unverified Client host",
        [SUBJECT_CERTIFICATE] = "Client certificate",
        [SUBJECT_LOGIN] = "SASL login name",
        [SUBJECT_HELO] = "Helo command",
        [SUBJECT_SENDER] = "Sender address",
        [SUBJECT_RECIPIENT] = "Recipient address",
        [SUBJECT_ETRN] = "Etrn command",
        [SUBJECT_DATA] = "Data command",
        [SUBJECT_END_OF_DATA] = "End-of-data",
    };

    return names[class];
}

static struct subject
subject_of_stage(const struct session *s, enum stage stage)
{
    switch (stage) {
    case STAGE_HELO:
        return (struct subject){ SUBJECT_HELO, slice_of(s->helo) };
    case STAGE_SENDER:
        return (struct subject){ SUBJECT_SENDER, s->mail.envelope.sender };
    case STAGE_RELAY:
    case STAGE_RECIPIENT:
        return (struct subject){ SUBJECT_RECIPIENT, s->recipient };
    case STAGE_ETRN:
        return (struct subject){ SUBJECT_ETRN, s->etrn };
    case STAGE_DATA:
        return (struct subject){ SUBJECT_DATA, SLICE_LIT("DATA") };
    case STAGE_END_OF_DATA:
        return (
            struct subject){ SUBJECT_END_OF_DATA, SLICE_LIT("END-OF-MESSAGE") };
    case STAGE_CLIENT:
    case STAGE_REWRITE:
    case STAGE_COUNT:
    default:
        return (struct subject){ SUBJECT_CLIENT, slice_of(s->peer.text) };
    }
}

void
evaluation_begin(struct evaluation *e, struct session *s, struct refusal *no)
{
    *e = (struct evaluation){ .s = s, .no = no };
    no->code = 0;
}

/* Refusals */

/* e->no is set. */
static enum verdict
refuse(struct evaluation *e)
{
    if (e->warn != 0) {
        session_log_refusal(e->s, "reject_warning", e->no);
        e->no->code = 0;
        return VERDICT_NONE;
    }
    /* What only this refusal had to wait for makes it a temporary one. */
    if (e->if_reject.code != 0 && e->no->code >= 500)
        *e->no = e->if_reject;
    return VERDICT_REFUSED;
}

/* RFC 3463: the class of the status is that of the code. */
ATTR_PRINTF(4, 0)
static void
fill(struct refusal *no, int code, const char *status, const char *fmt,
    va_list ap)
{
    char text[REFUSAL_TEXT_MAX];

    (void)vsnprintf(text, sizeof(text), fmt, ap);
    (void)refusal_set(no, code, status, "%s", text);
    if (no->status[0] != '\0')
        no->status[0] = (char)('0' + code / 100);
}

/* The detail of X.1.detail, for either kind of address. */
void
evaluation_fit_status(const struct evaluation *e, enum subject_class class,
    char status[STATUS_SIZE])
{
    static const char sender[] = "0787707780", recipient[] = "0123456320";
    char old[STATUS_SIZE];
    uint32_t detail;

    if (strncmp(status + 1, ".1.", 3) != 0 ||
        !num_parse_u32(slice_of(status + 4), 999, &detail))
        return;
    memcpy(old, status, sizeof(old));
    if (class == SUBJECT_SENDER || class == SUBJECT_RECIPIENT)
        (void)snprintf(status, STATUS_SIZE, "%c.1.%c", old[0],
            detail > 9                    ? '0'
                : class == SUBJECT_SENDER ? sender[detail]
                                          : recipient[detail]);
    else
        (void)snprintf(status, STATUS_SIZE, "%c.0.0", old[0]);
    if (strcmp(status, old) != 0)
        log_write(LOG_LEVEL_INFO, e->s->profile->tag,
            "mapping DSN status %s into %s status %s", old, subject_name(class),
            status);
}

enum verdict
evaluation_refuse(struct evaluation *e, int code, const char *status,
    const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fill(e->no, code, status, fmt, ap);
    va_end(ap);
    return refuse(e);
}

enum verdict
evaluation_refuse_subject(struct evaluation *e, const struct subject *subject,
    int code, const char *status, const char *reason)
{
    return evaluation_refuse(e, code, status,
        "<" SLICE_FMT ">: %s rejected: %s", SLICE_ARG(subject->text),
        subject_name(subject->class), reason);
}

enum verdict
evaluation_fail_lookup(struct evaluation *e, const struct why *why)
{
    log_write(LOG_LEVEL_WARNING, e->s->profile->tag, "%s", why->text);
    (void)refusal_set(e->no, 451, "4.3.0",
        "<" SLICE_FMT ">: Temporary lookup failure",
        SLICE_ARG(e->subject.text));
    return VERDICT_REFUSED;
}

enum verdict
evaluation_fail_config(struct evaluation *e)
{
    (void)refusal_set(e->no, 451, "4.3.5", "Server configuration error");
    return VERDICT_REFUSED;
}

enum verdict
evaluation_defer_if_permit(struct evaluation *e, const char *when_unknown,
    int code, const char *status, const char *fmt, ...)
{
    bool now = e->warn != 0 ||
        slice_eq_nocase(slice_of(when_unknown), SLICE_LIT("defer"));
    va_list ap;

    if (!now && e->if_permit.code != 0)
        return VERDICT_NONE;
    va_start(ap, fmt);
    fill(now ? e->no : &e->if_permit, code, status, fmt, ap);
    va_end(ap);
    return now ? refuse(e) : VERDICT_NONE;
}

enum verdict
evaluation_defer_if_reject(struct evaluation *e, int code, const char *status,
    const char *fmt, ...)
{
    va_list ap;

    if (e->warn == 0 && e->if_reject.code != 0)
        return VERDICT_NONE;
    va_start(ap, fmt);
    fill(e->warn != 0 ? e->no : &e->if_reject, code, status, fmt, ap);
    va_end(ap);
    return e->warn != 0 ? refuse(e) : VERDICT_NONE;
}

enum verdict
evaluation_permit(struct evaluation *e, const char *action,
    const struct subject *subject, const char *from)
{
    struct match_list *logged = e->s->profile->logged_permits;
    struct refusal text;
    struct why why;

    if (logged == NULL ||
        match_list_find(logged, slice_of(action), &why) != TABLE_FOUND)
        return VERDICT_PERMIT;
    (void)refusal_set(&text, 0, "", "action=%s for %s=" SLICE_FMT " %s", action,
        subject_name(subject->class), SLICE_ARG(subject->text), from);
    session_log_access(e->s, "permit", text.text);
    return VERDICT_PERMIT;
}

/* Lists */

bool
evaluation_is_deep(const struct evaluation *e)
{
    return e->depth > DEPTH_MAX;
}

struct subject
evaluation_turn_to(struct evaluation *e, struct subject subject)
{
    struct subject old = e->subject;

    e->subject = subject;
    return old;
}

/* Whatever comes, both of these together end in a temporary refusal. */
static bool
is_settled(const struct evaluation *e)
{
    return e->if_permit.code != 0 && e->if_reject.code != 0;
}

/*
 * warn_if_reject holds for the next restriction and for all that lies in it. The
 * lists of DNS that a list names are asked together when the first is reached.
 */
enum verdict
evaluation_run_list(struct evaluation *e, const struct check_list *list)
{
    enum verdict verdict = VERDICT_NONE;
    bool asked = false;

    e->depth++;
    for (size_t i = 0; i < list->count && verdict == VERDICT_NONE &&
         !e->s->mail.actions.discard && !is_settled(e);
         i++) {
        const struct check *c = &list->checks[i];

        if (c->what->argument == ARGUMENT_CHECK) {
            if (e->warn == 0)
                e->warn = e->depth;
            continue;
        }
        if (c->what->question != NULL && !asked) {
            answers_ask(e, list, i);
            asked = true;
        }
        verdict = c->what->run(e, c);
        if (e->s->trace != NULL)
            e->s->trace(e, c, verdict);
        if (e->warn >= e->depth)
            e->warn = 0;
    }
    if (e->warn >= e->depth)
        e->warn = 0;
    e->depth--;
    return verdict;
}

static bool
is_of_rcpt(enum stage stage)
{
    return stage == STAGE_RELAY || stage == STAGE_RECIPIENT;
}

/* defer_if_reject ends with its list, but RCPT has two that are one. */
enum verdict
evaluation_run(struct evaluation *e, enum stage stage)
{
    if (!is_of_rcpt(e->stage) || !is_of_rcpt(stage))
        e->if_reject.code = 0;
    e->stage = stage;
    e->subject = subject_of_stage(e->s, stage);
    return evaluation_run_list(e, &e->s->profile->lists[stage]);
}

enum verdict
evaluation_end(struct evaluation *e, enum verdict verdict)
{
    if (verdict == VERDICT_REFUSED || e->if_permit.code == 0)
        return verdict;
    *e->no = e->if_permit;
    return VERDICT_REFUSED;
}
