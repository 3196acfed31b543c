#include "smtpd/restriction.h"

#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "lib/config/config.h"
#include "smtpd/reply.h"
#include "smtpd/session.h"

#include <stdarg.h>
#include <stdio.h>

enum {
    CHECKS_MAX = 1000, /* in one list */
    NUMBER_MAX = 1000, /* seconds of sleep */
};

/* Lists */

static const struct restriction *
find(struct slice name)
{
    for (const struct restriction *r = restrictions; r->name != NULL; r++)
        if (slice_eq_nocase(name, slice_of(r->name)))
            return r;
    return NULL;
}

static enum result
parse_check(const char *parameter, enum stage stage, struct slice word,
    struct slice *rest, struct check *c, struct why *why)
{
    struct slice argument;

    c->what = find(word);
    if (c->what == NULL)
        return why_perm(why, "4.3.5",
            "parameter %s: unknown or unsupported restriction: \"" SLICE_FMT
            "\"",
            parameter, SLICE_ARG(word));
    if (stage == STAGE_REWRITE &&
        (c->what->flags & RESTRICTION_FOR_REWRITE) == 0)
        return why_perm(why, "4.3.5",
            "parameter %s: \"%s\" has no meaning there", parameter,
            c->what->name);
    if (c->what->argument == ARGUMENT_NUMBER &&
        (!config_list_next(rest, &argument) ||
            !num_parse_u32(argument, NUMBER_MAX, &c->number)))
        return why_perm(why, "4.3.5",
            "parameter %s: \"%s\" needs a number behind it", parameter,
            c->what->name);
    return RESULT_OK;
}

enum result
check_list_parse(const char *parameter, enum stage stage, const char *text,
    struct check_list *list, struct why *why)
{
    struct slice rest = slice_of(text), word;
    enum result res = RESULT_OK;

    *list = (struct check_list){ .count = 0 };
    while (res == RESULT_OK && config_list_next(&rest, &word)) {
        if (list->count == CHECKS_MAX)
            return why_perm(why, "4.3.5",
                "parameter %s: more than %d restrictions", parameter,
                CHECKS_MAX);
        list->checks = mem_resize(list->checks,
            (list->count + 1) * sizeof(*list->checks));
        list->checks[list->count] = (struct check){ .what = NULL };
        res = parse_check(parameter, stage, word, &rest,
            &list->checks[list->count], why);
        if (res == RESULT_OK)
            list->count++;
    }
    if (res == RESULT_OK && list->count > 0 &&
        list->checks[list->count - 1].what->argument == ARGUMENT_CHECK)
        return why_perm(why, "4.3.5",
            "parameter %s: \"%s\" needs a restriction behind it", parameter,
            list->checks[list->count - 1].what->name);
    return res;
}

void
check_list_free(struct check_list *list)
{
    mem_free(list->checks);
    *list = (struct check_list){ .count = 0 };
}

bool
check_list_guards_relay(const struct check_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->checks[i].what->argument == ARGUMENT_CHECK)
            i++; /* warn_if_reject: the next one does not work */
        else if ((list->checks[i].what->flags & RESTRICTION_GUARDS_RELAY) != 0)
            return true;
    }
    return false;
}

/* Evaluation */

void
evaluation_begin(struct evaluation *e, struct session *s, struct refusal *no)
{
    *e = (struct evaluation){ .s = s, .no = no };
    no->code = 0;
}

enum verdict
evaluation_refuse(struct evaluation *e, int code, const char *status,
    const char *fmt, ...)
{
    char text[REFUSAL_TEXT_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    (void)refusal_set(e->no, code, status, "%s", text);
    if (e->warn) {
        session_log_refusal(e->s, "reject_warning", e->no);
        e->no->code = 0;
        return VERDICT_NONE;
    }
    /* What only this refusal had to wait for makes it a temporary one. */
    if (e->if_reject.code != 0 && e->no->code >= 500)
        *e->no = e->if_reject;
    return VERDICT_REFUSED;
}

enum verdict
evaluation_run(struct evaluation *e, enum stage stage)
{
    const struct check_list *list = &e->s->profile->lists[stage];
    enum verdict verdict = VERDICT_NONE;

    e->stage = stage;
    e->if_reject.code = 0;
    for (size_t i = 0; verdict == VERDICT_NONE && i < list->count; i++) {
        bool warn = list->checks[i].what->argument == ARGUMENT_CHECK;

        verdict = list->checks[i].what->run(e, &list->checks[i]);
        e->warn = warn;
    }
    e->warn = false;
    return verdict;
}

enum verdict
evaluation_end(struct evaluation *e, enum verdict verdict)
{
    if (verdict == VERDICT_REFUSED || e->if_permit.code == 0)
        return verdict;
    *e->no = e->if_permit;
    return VERDICT_REFUSED;
}
