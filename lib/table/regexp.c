/*
 * regexp - tables of POSIX regular expressions, as the C library has them.
 */
#include "lib/base/mem.h"
#include "lib/table/expression.h"

#include <regex.h>

static void *
compile(struct slice pattern, unsigned bits, bool captures, unsigned *groups,
    struct buf *problem)
{
    char *text = mem_text_of(pattern), said[200];
    regex_t *re = mem_alloc(sizeof(*re));
    int error = regcomp(re, text, (int)bits | (captures ? 0 : REG_NOSUB));

    mem_free(text);
    if (error == 0) {
        *groups = (unsigned)re->re_nsub;
        return re;
    }
    (void)regerror(error, re, said, sizeof(said));
    buf_add_text(problem, said);
    mem_free(re);
    return NULL;
}

static void
free_pattern(void *pattern)
{
    regfree(pattern);
    mem_free(pattern);
}

static enum match
match(void *compiled, struct slice subject, unsigned wanted,
    struct captures *captures, struct buf *problem)
{
    regmatch_t at[CAPTURES_MAX + 1] = { 0 };
    char said[200];
    int error;

    /* The subject has no terminator, and may have a NUL in it. */
    at[0].rm_eo = (regoff_t)subject.len;
    error = regexec(compiled, subject.len == 0 ? "" : subject.ptr, wanted + 1,
        at, REG_STARTEND);
    if (error == REG_NOMATCH)
        return MATCH_NO;
    if (error != 0) {
        (void)regerror(error, compiled, said, sizeof(said));
        buf_add_text(problem, said);
        return MATCH_ERROR;
    }
    for (unsigned i = 1; i <= wanted; i++) {
        struct slice *group = &captures->groups[i];

        *group = (struct slice){ "", 0 };
        if (at[i].rm_so >= 0)
            *group = (struct slice){ subject.ptr + at[i].rm_so,
                (size_t)(at[i].rm_eo - at[i].rm_so) };
    }
    return MATCH_YES;
}

static enum result
regexp_open(struct table *t, const struct config *config, struct why *why)
{
    static const struct expression_flag flags[] = {
        { 'i', REG_ICASE },
        { 'm', REG_NEWLINE },
        { 'x', REG_EXTENDED },
        { 0 },
    };
    static const struct expression_ops ops = {
        .rules = {
            .type = "regexp",
            .stray_endif = "ignoring ENDIF without matching IF",
            .parse = expression_parse,
            .match = expression_match,
            .free_pattern = free_pattern,
        },
        .unclosed = "skipping",
        .obsolete = "",
        .flags = flags,
        .defaults = REG_ICASE | REG_EXTENDED,
        .compile = compile,
        .match = match,
    };

    (void)config;
    return rules_open(t, &ops.rules, why);
}

const struct table_type table_type_regexp = {
    .name = "regexp",
    .flags = TABLE_WHOLE_KEYS | TABLE_KEEP_CASE,
    .open = regexp_open,
    .find = expression_find,
    .close = rules_close,
};
