/*
 * access_action - what the right-hand side of an access table does.
 *
 * The value was written by the admin or, through a database, by somebody who
 * may manage his own part of it: whatever it holds, the worst that it does is
 * "451 Server configuration error".
 */
#include "lib/base/log.h"
#include "lib/base/num.h"
#include "lib/mail/header.h"
#include "lib/mail/status.h"
#include "smtpd/access_table.h"
#include "smtpd/session.h"

#include <stdio.h>

/* An entry at work. */
struct entry {
    struct access *a;
    struct slice key, value, word, text;
};

static void
warn(const struct entry *t, const char *what)
{
    log_write(LOG_LEVEL_WARNING, t->a->e->s->profile->tag,
        "access table %s entry \"" SLICE_FMT "\" %s", access_source(t->a),
        SLICE_ARG(t->key), what);
}

/* "<subject>: class text; from=..." under the name of the action. */
static void
log_action(const struct entry *t, const char *verb, const char *text)
{
    const struct subject *about = &t->a->subject;
    struct refusal line;

    (void)refusal_set(&line, 0, "", "<" SLICE_FMT ">: %s %s",
        SLICE_ARG(about->text), subject_name(about->class), text);
    session_log_access(t->a->e->s, verb, line.text);
}

/* text as the entry has it, or "triggers NAME action" */
static void
log_default(const struct entry *t, const char *verb, const char *fallback)
{
    char text[REFUSAL_TEXT_MAX];

    (void)snprintf(text, sizeof(text), SLICE_FMT, SLICE_ARG(t->text));
    log_action(t, verb, t->text.len > 0 ? text : fallback);
}

static void
log_triggers(const struct entry *t, const char *verb)
{
    char text[REFUSAL_TEXT_MAX];

    (void)snprintf(text, sizeof(text), "triggers " SLICE_FMT " " SLICE_FMT,
        SLICE_ARG(t->word), SLICE_ARG(t->text));
    log_action(t, verb, text);
}

/* Refusals */

/* The reason may begin with a status. */
static void
reason_of(const struct entry *t, const char *fallback_status,
    const char *fallback, char status[STATUS_SIZE],
    char reason[REFUSAL_TEXT_MAX])
{
    struct slice text = status_split(t->text, fallback_status, status);

    (void)snprintf(reason, REFUSAL_TEXT_MAX, SLICE_FMT, SLICE_ARG(text));
    if (text.len == 0)
        (void)snprintf(reason, REFUSAL_TEXT_MAX, "%s", fallback);
    evaluation_fit_status(t->a->e, t->a->subject.class, status);
}

static enum verdict
refuse(const struct entry *t, int code, const char *fallback_status)
{
    char status[STATUS_SIZE], reason[REFUSAL_TEXT_MAX];

    reason_of(t, fallback_status, "Access denied", status, reason);
    return evaluation_refuse_subject(t->a->e, &t->a->subject, code, status,
        reason);
}

static enum verdict
act_reject(const struct entry *t)
{
    return refuse(t, (int)t->a->e->s->config->access_map_reject_code, "5.7.1");
}

static enum verdict
act_defer(const struct entry *t)
{
    return refuse(t, (int)t->a->e->s->config->access_map_defer_code, "4.7.1");
}

static enum verdict
act_defer_if_permit(const struct entry *t)
{
    const struct subject *about = &t->a->subject;
    char status[STATUS_SIZE], reason[REFUSAL_TEXT_MAX];

    reason_of(t, "4.7.1", "Service unavailable", status, reason);
    return evaluation_defer_if_permit(t->a->e, "",
        (int)t->a->e->s->config->access_map_defer_code, status,
        "<" SLICE_FMT ">: %s rejected: %s", SLICE_ARG(about->text),
        subject_name(about->class), reason);
}

static enum verdict
act_defer_if_reject(const struct entry *t)
{
    const struct subject *about = &t->a->subject;
    char status[STATUS_SIZE], reason[REFUSAL_TEXT_MAX];

    reason_of(t, "4.7.1", "Service unavailable", status, reason);
    return evaluation_defer_if_reject(t->a->e,
        (int)t->a->e->s->config->access_map_defer_code, status,
        "<" SLICE_FMT ">: %s rejected: %s", SLICE_ARG(about->text),
        subject_name(about->class), reason);
}

/* Permission */

static enum verdict
act_ok(const struct entry *t)
{
    char word[64], from[256];

    (void)snprintf(word, sizeof(word), SLICE_FMT, SLICE_ARG(t->word));
    (void)snprintf(from, sizeof(from), "from %s", access_source(t->a));
    return evaluation_permit(t->a->e, word, &t->a->subject, from);
}

static enum verdict
act_dunno(const struct entry *t)
{
    (void)t;
    return VERDICT_NONE;
}

/* The message */

static bool
keep(const struct entry *t, struct slice *to)
{
    return arena_slice(&t->a->e->s->mail.arena, t->text, to);
}

static bool
keep_one_more(const struct entry *t, struct session_text **list)
{
    struct session_text *item = arena_alloc(&t->a->e->s->mail.arena,
        sizeof(*item));

    if (item == NULL || !keep(t, &item->text))
        return false;
    while (*list != NULL)
        list = &(*list)->next;
    *list = item;
    return true;
}

/* The arena's ceiling is met: rather no mail than mail without the action. */
static enum verdict
no_room(const struct entry *t)
{
    (void)refusal_set(t->a->e->no, 452, "4.3.1", "Insufficient system storage");
    return VERDICT_REFUSED;
}

static enum verdict
act_filter(const struct entry *t)
{
    if (t->text.len == 0 || slice_find(t->text, ':') == t->text.len) {
        warn(t,
            t->text.len == 0 ? "has FILTER entry without value"
                             : "requires transport:destination");
        return VERDICT_NONE;
    }
    log_triggers(t, "filter");
    return keep(t, &t->a->e->s->mail.actions.filter) ? VERDICT_NONE
                                                     : no_room(t);
}

static enum verdict
act_redirect(const struct entry *t)
{
    if (slice_find(t->text, '@') == t->text.len) {
        warn(t, "requires user@domain target");
        return VERDICT_NONE;
    }
    log_triggers(t, "redirect");
    return keep(t, &t->a->e->s->mail.actions.redirect) ? VERDICT_NONE
                                                       : no_room(t);
}

static enum verdict
act_bcc(const struct entry *t)
{
    if (slice_find(t->text, '@') == t->text.len) {
        warn(t, "requires user@domain address");
        return VERDICT_NONE;
    }
    log_triggers(t, "bcc");
    return keep_one_more(t, &t->a->e->s->mail.actions.bcc) ? VERDICT_NONE
                                                           : no_room(t);
}

static enum verdict
act_prepend(const struct entry *t)
{
    if (t->a->e->stage == STAGE_END_OF_DATA) {
        log_write(LOG_LEVEL_WARNING, t->a->e->s->profile->tag,
            "access table %s: action PREPEND must be used before "
            "smtpd_end_of_data_restrictions",
            access_source(t->a));
        return VERDICT_NONE;
    }
    if (header_name_length(t->text) == 0) {
        warn(t, "requires header: text");
        return VERDICT_NONE;
    }
    return keep_one_more(t, &t->a->e->s->mail.actions.prepend) ? VERDICT_NONE
                                                               : no_room(t);
}

static enum verdict
act_hold(const struct entry *t)
{
    if (t->a->e->s->mail.actions.hold)
        return VERDICT_NONE;
    log_default(t, "hold", "triggers HOLD action");
    t->a->e->s->mail.actions.hold = true;
    return VERDICT_NONE;
}

static enum verdict
act_discard(const struct entry *t)
{
    log_default(t, "discard", "triggers DISCARD action");
    t->a->e->s->mail.actions.discard = true;
    return act_ok(t);
}

static void
log_text(const struct entry *t, const char *verb)
{
    struct refusal line;

    (void)refusal_set(&line, 0, "", SLICE_FMT, SLICE_ARG(t->text));
    session_log_access(t->a->e->s, verb, line.text);
}

static enum verdict
act_warn(const struct entry *t)
{
    log_text(t, "warn");
    return VERDICT_NONE;
}

static enum verdict
act_info(const struct entry *t)
{
    log_text(t, "info");
    return VERDICT_NONE;
}

static const struct action {
    const char *name;
    enum verdict (*run)(const struct entry *t);
    bool on_message; /* has no meaning for ETRN */
} actions[] = {
    { "DUNNO", act_dunno, false },
    { "OK", act_ok, false },
    { "RELAY", act_ok, false },
    { "REJECT", act_reject, false },
    { "DEFER", act_defer, false },
    { "DEFER_IF_PERMIT", act_defer_if_permit, false },
    { "DEFER_IF_REJECT", act_defer_if_reject, false },
    { "WARN", act_warn, false },
    { "INFO", act_info, false },
    { "FILTER", act_filter, true },
    { "HOLD", act_hold, true },
    { "DISCARD", act_discard, true },
    { "REDIRECT", act_redirect, true },
    { "BCC", act_bcc, true },
    { "PREPEND", act_prepend, true },
};

static enum verdict
run_action(const struct entry *t, const struct action *action)
{
    if (action->on_message && t->a->subject.class == SUBJECT_ETRN) {
        log_write(LOG_LEVEL_WARNING, t->a->e->s->profile->tag,
            "access table %s: action %s is unavailable in "
            "smtpd_etrn_restrictions",
            access_source(t->a), action->name);
        return VERDICT_NONE;
    }
    return action->run(t);
}

/* Restrictions by name */

static enum verdict
run_restrictions(const struct entry *t)
{
    struct evaluation *e = t->a->e;
    const struct restriction_scope scope = {
        .config = e->s->config,
        .classes = &e->s->profile->restriction_classes,
        .in_table = true,
    };
    struct subject before;
    struct check_list list;
    struct slice unknown = { NULL, 0 };
    enum verdict verdict;
    struct why why;

    if (evaluation_is_deep(e)) {
        warn(t, "causes unreasonable recursion");
        return evaluation_fail_config(e);
    }
    if (check_list_parse(&scope, e->stage, t->value, &list, &unknown, &why) !=
        RESULT_OK) {
        if (unknown.len > 0)
            log_write(LOG_LEVEL_WARNING, e->s->profile->tag,
                "unknown smtpd restriction: \"" SLICE_FMT "\"",
                SLICE_ARG(unknown));
        else
            warn(t, why.text);
        check_list_free(&list);
        return evaluation_fail_config(e);
    }
    if (list.count == 0) {
        warn(t, "has empty value");
        return VERDICT_PERMIT;
    }
    before = evaluation_turn_to(e, t->a->subject);
    verdict = evaluation_run_list(e, &list);
    (void)evaluation_turn_to(e, before);
    check_list_free(&list);
    return verdict;
}

enum verdict
access_act(struct access *a, struct slice key, struct slice value)
{
    struct entry t = { .a = a, .key = key, .value = value };
    struct slice rest = value;
    uint32_t code;

    if (slice_word(&rest, " \t", &t.word))
        t.text = slice_trim(rest);
    for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++)
        if (slice_eq_nocase(t.word, slice_of(actions[i].name)))
            return run_action(&t, &actions[i]);
    /* Some who authenticate otherwise store the time of it as value. */
    if (slice_is_digits(slice_trim(value)))
        return act_ok(&t);
    if (t.word.len == 3 && num_parse_u32(t.word, 599, &code) && code >= 400)
        return refuse(&t, (int)code, code >= 500 ? "5.7.1" : "4.7.1");
    return run_restrictions(&t);
}
