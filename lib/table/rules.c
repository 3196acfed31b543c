#include "lib/table/rules.h"

#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/config/config.h"
#include "lib/io/offload.h"
#include "lib/table/text.h"

#include <stdio.h>

void
rules_warn(const struct rules_table *s, unsigned line, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_warning("%s map %s, line %u: %s", s->ops->type, s->table->name, line,
        text);
}

bool
rules_begins_with(struct slice text, struct slice word)
{
    char c = text.len > word.len ? text.ptr[word.len] : ' ';

    return slice_starts_nocase(text, word) && !(c >= '0' && c <= '9') &&
        !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z');
}

struct slice
rules_take_negation(struct slice text, bool *negative)
{
    while (text.len > 0 && text.ptr[0] == '!') {
        *negative = !*negative;
        text = slice_trim(slice_skip(text, 1));
    }
    return text;
}

static void
free_rules(struct rules_table *s)
{
    for (size_t i = 0; i < s->count; i++)
        if (s->ops->free_pattern != NULL && s->rules[i].pattern != NULL)
            s->ops->free_pattern(s->rules[i].pattern);
    mem_free(s->rules);
    arena_clear(&s->arena);
    s->rules = NULL;
    s->count = 0;
}

/*
 * While rules are read, an open "if" has in end where the one around it stands,
 * plus 1.
 */
struct reading {
    struct rules_table *s;
    size_t room, open;
};

static void
place(struct reading *r, const struct rule *rule)
{
    struct rules_table *s = r->s;

    if (s->count == r->room) {
        r->room = r->room == 0 ? 16 : r->room * 2;
        s->rules = mem_resize(s->rules, r->room * sizeof(struct rule));
    }
    s->rules[s->count] = *rule;
    if (rule->kind == RULE_IF) {
        s->rules[s->count].end = r->open;
        r->open = s->count + 1;
    } else if (rule->kind == RULE_ENDIF) {
        struct rule *its_if = &s->rules[r->open - 1];

        r->open = its_if->end;
        its_if->end = s->count;
    }
    s->count++;
}

static enum result
take_line(void *context, unsigned line, struct slice text)
{
    struct reading *r = context;
    struct rule rule = { .line = line };

    if (!r->s->ops->parse(r->s, line, slice_trim(text), &rule))
        return RESULT_OK;
    if (rule.kind == RULE_ENDIF && r->open == 0)
        rules_warn(r->s, line, "%s", r->s->ops->stray_endif);
    else
        place(r, &rule);
    return RESULT_OK;
}

static void
end_reading(struct reading *r)
{
    while (r->open != 0) {
        struct rule *open = &r->s->rules[r->open - 1];

        rules_warn(r->s, open->line, "IF has no matching ENDIF");
        r->open = open->end;
        open->end = r->s->count;
    }
}

/* In s there are no rules yet. */
static enum result
read_file(struct rules_table *s, struct stat *st, struct why *why)
{
    struct reading r = { .s = s };
    struct buf text;
    enum result res;

    buf_init(&text, TEXT_FILE_MAX);
    res = text_read_file(s->table->name, &text, st, why);
    if (res == RESULT_OK) {
        (void)text_each_rule(s->table->name, buf_slice(&text), take_line, &r);
        end_reading(&r);
    }
    buf_fini(&text);
    return res;
}

/* "{ { rule }, { rule } }": each one is a line. */
static enum result
read_literal(struct rules_table *s, struct why *why)
{
    struct reading r = { .s = s };
    const struct table *t = s->table;
    struct slice rest, element, rule;
    unsigned line = 0;

    if (!table_take_off_braces(slice_of(t->name), &rest))
        return why_perm(why, "5.3.5", "%s map: missing '}' in \"%s\"",
            t->type->name, t->name);
    while (config_list_next(&rest, &element)) {
        if (!table_take_off_braces(element, &rule))
            return why_perm(why, "5.3.5",
                "%s map: no '{' at start of text in \"" SLICE_FMT "\"",
                t->type->name, SLICE_ARG(element));
        line++;
        if (rule.len > 0 && rule.ptr[0] != '#')
            (void)take_line(&r, line, rule);
    }
    end_reading(&r);
    return RESULT_OK;
}

static void
rules_init(struct rules_table *s, const struct table *t,
    const struct rules_ops *ops)
{
    *s = (struct rules_table){ .ops = ops, .table = t };
    s->literal = t->name[0] == '{';
    s->fixed = (t->open_flags & TABLE_NO_SUBSTITUTION) != 0;
    arena_init(&s->arena, RULES_OCTETS_MAX);
}

enum result
rules_open(struct table *t, const struct rules_ops *ops, struct why *why)
{
    struct rules_table *s = mem_alloc(sizeof(*s));
    enum result res = RESULT_OK;

    t->state = s;
    rules_init(s, t, ops);
    if (t->name[0] == '\0')
        res = why_perm(why, "5.3.5", "%s: no file name", t->spec);
    else if (s->literal)
        res = read_literal(s, why);
    if (res != RESULT_OK)
        rules_close(t);
    return res;
}

void
rules_close(struct table *t)
{
    free_rules(t->state);
    mem_free(t->state);
}

enum { SOON_FREED = 1000 }; /* rules */

struct loading {
    struct rules_table rules;
    struct stat st;
    enum result res;
    struct why *why;
};

static void
read_rules(void *arg)
{
    struct loading *l = arg;

    l->res = read_file(&l->rules, &l->st, l->why);
}

static void
free_old(void *arg)
{
    free_rules(arg);
}

/*
 * What was read before stays in use meanwhile, and when that fails. A hundred
 * thousand patterns take seconds to compile: sessions go on.
 */
static enum result
load(struct table *t, struct why *why)
{
    struct rules_table *s = t->state, old;
    struct loading l = { .why = why };

    rules_init(&l.rules, t, s->ops);
    table_read_file(t->name, read_rules, &l);
    if (l.res != RESULT_OK) {
        free_rules(&l.rules);
        return l.res;
    }
    old = *s;
    *s = l.rules;
    s->generation = old.generation + 1;
    file_watch_set(&s->watch, &l.st);
    if (old.count > SOON_FREED)
        offload(free_old, &old);
    else
        free_old(&old);
    return RESULT_OK;
}

enum table_status
rules_refresh(struct table *t, struct why *why)
{
    struct rules_table *s = t->state;

    if (s->literal)
        return TABLE_FOUND;
    return table_refresh(t, &s->watch, t->name, load, why);
}

enum table_status
rules_find(struct rules_table *s, const void *subject, size_t most, size_t *at,
    struct buf *value, struct why *why)
{
    size_t left = most;

    for (; *at < s->count && left > 0; ++*at, left--) {
        const struct rule *rule = &s->rules[*at];
        enum match match;

        if (rule->kind == RULE_ENDIF)
            continue;
        match = s->ops->match(s, rule, subject, why);
        if (match == MATCH_ERROR)
            return TABLE_ERROR;
        if (match != (rule->negative ? MATCH_NO : MATCH_YES)) {
            if (rule->kind == RULE_IF)
                *at = rule->end;
        } else if (rule->kind == RULE_RESULT) {
            replacement_expand(&rule->result, &s->captures, value);
            return TABLE_FOUND;
        }
    }
    return TABLE_NOT_FOUND;
}
