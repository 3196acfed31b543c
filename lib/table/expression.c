#include "lib/table/expression.h"

#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "lib/io/offload.h"

enum { PROBLEM_MAX = 400, RULES_AT_A_TIME = 100 };

static const struct expression_ops *
ops_of(const struct rules_table *s)
{
    _Static_assert(offsetof(struct expression_ops, rules) == 0, "cast below");
    return (const struct expression_ops *)s->ops;
}

struct expression {
    struct slice pattern;
    unsigned bits;
};

/* "/pattern/flags", moving *text behind it. */
static bool
take_pattern(const struct rules_table *s, unsigned line, struct slice *text,
    struct slice *pattern)
{
    const char delimiter = text->len > 0 ? text->ptr[0] : '\0';
    size_t i;

    if (text->len == 0) {
        rules_warn(s, line, "no regexp: skipping this rule");
        return false;
    }
    for (i = 1; i < text->len && text->ptr[i] != delimiter; i++)
        if (text->ptr[i] == '\\')
            i++;
    if (i >= text->len) {
        rules_warn(s, line, "no closing regexp delimiter \"%c\": %s this rule",
            delimiter, ops_of(s)->unclosed);
        return false;
    }
    *pattern = slice_skip(slice_head(*text, i), 1);
    *text = slice_skip(*text, i + 1);
    return true;
}

static bool
take_flags(const struct rules_table *s, unsigned line, struct slice *text,
    unsigned *bits)
{
    const struct expression_ops *ops = ops_of(s);
    const struct expression_flag *flag;

    *bits = ops->defaults;
    for (; text->len > 0; *text = slice_skip(*text, 1)) {
        const char c = text->ptr[0];

        if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
            return true;
        for (flag = ops->flags; flag->letter != '\0'; flag++)
            if (flag->letter == c)
                break;
        if (flag->letter != '\0') {
            *bits ^= flag->bit;
        } else if (c != '\0' && strchr(ops->obsolete, c) != NULL) {
            rules_warn(s, line, "ignoring obsolete regexp option \"%c\"", c);
        } else {
            rules_warn(s, line,
                "unknown regexp option \"%c\": skipping this rule", c);
            return false;
        }
    }
    return true;
}

static bool
compile(struct rules_table *s, unsigned line, const struct expression *e,
    struct rule *rule)
{
    const struct expression_ops *ops = ops_of(s);
    struct buf problem;
    unsigned groups = 0;

    buf_init(&problem, PROBLEM_MAX);
    if (memchr(e->pattern.ptr, '\0', e->pattern.len) != NULL)
        buf_add_text(&problem, "NUL in regexp");
    else
        rule->pattern = ops->compile(e->pattern, e->bits,
            rule->result.max_index > 0, &groups, &problem);
    if (rule->pattern == NULL)
        rules_warn(s, line, "%s", buf_text(&problem));
    buf_fini(&problem);
    if (rule->pattern == NULL)
        return false;
    if (rule->result.max_index <= groups)
        return true;
    rules_warn(s, line,
        "out of range replacement index \"%u\": skipping this rule",
        rule->result.max_index);
    s->ops->free_pattern(rule->pattern);
    return false;
}

static bool
take_result(struct rules_table *s, unsigned line, struct slice text,
    struct rule *rule)
{
    struct buf problem;
    bool ok;

    if (text.len == 0)
        rules_warn(s, line, "no replacement text: using empty string");
    buf_init(&problem, PROBLEM_MAX);
    ok = replacement_parse(text, &s->arena, &rule->result, &problem);
    if (!ok)
        rules_warn(s, line, "%s: bad replacement syntax: skipping this rule",
            buf_text(&problem));
    buf_fini(&problem);
    if (!ok || rule->result.max_index == 0)
        return ok;
    if (rule->negative) {
        rules_warn(s, line,
            "$number found in negative match replacement text: "
            "skipping this rule");
        return false;
    }
    if (s->fixed) {
        rules_warn(s, line,
            "regular expression substitution is not allowed: "
            "skipping this rule");
        return false;
    }
    return true;
}

static bool
parse_pattern(struct rules_table *s, unsigned line, struct slice *text,
    struct expression *e, struct rule *rule)
{
    *text = rules_take_negation(*text, &rule->negative);
    return take_pattern(s, line, text, &e->pattern) &&
        take_flags(s, line, text, &e->bits);
}

static bool
begins_with_alnum(struct slice text)
{
    char c = text.len > 0 ? text.ptr[0] : ' ';

    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
        (c >= 'A' && c <= 'Z');
}

bool
expression_parse(struct rules_table *s, unsigned line, struct slice text,
    struct rule *rule)
{
    const struct slice if_word = SLICE_LIT("if");
    const struct slice endif_word = SLICE_LIT("endif");
    struct expression e;

    if (!begins_with_alnum(text))
        return parse_pattern(s, line, &text, &e, rule) &&
            take_result(s, line, slice_trim(text), rule) &&
            compile(s, line, &e, rule);
    if (rules_begins_with(text, if_word)) {
        rule->kind = RULE_IF;
        text = slice_trim(slice_skip(text, if_word.len));
        if (!parse_pattern(s, line, &text, &e, rule))
            return false;
        text = slice_trim(text);
        if (text.len > 0)
            rules_warn(s, line,
                "ignoring extra text after IF statement: \"" SLICE_FMT
                "\"; do not prepend whitespace to statements between IF and "
                "ENDIF",
                SLICE_ARG(text));
        return compile(s, line, &e, rule);
    }
    if (rules_begins_with(text, endif_word)) {
        rule->kind = RULE_ENDIF;
        if (text.len > endif_word.len)
            rules_warn(s, line, "ignoring extra text after ENDIF");
        return true;
    }
    rules_warn(s, line, "ignoring unrecognized request");
    return false;
}

enum match
expression_match(struct rules_table *s, const struct rule *rule,
    const void *subject, struct why *why)
{
    struct buf problem;
    enum match match;

    buf_init(&problem, PROBLEM_MAX);
    match = ops_of(s)->match(rule->pattern, *(const struct slice *)subject,
        rule->result.max_index, &s->captures, &problem);
    if (match == MATCH_ERROR)
        (void)why_temp(why, "4.3.0", "%s map %s, line %u: %s", s->ops->type,
            s->table->name, rule->line, buf_text(&problem));
    buf_fini(&problem);
    return match;
}

struct search {
    struct table *table;
    struct slice key;
    struct buf *value;
    struct why *why;
    size_t at; /* the rule that is next */
    enum table_status status;
};

static void
search(void *arg)
{
    struct search *q = arg;

    q->status = rules_find(q->table->state, &q->key, RULES_AT_A_TIME, &q->at,
        q->value, q->why);
}

/* One pattern may take 50 us: between some of them others have their turn. */
static void
search_all(struct search *q)
{
    const struct rules_table *s = q->table->state;
    unsigned generation = s->generation;

    for (;;) {
        on_thread_stack(search, q);
        if (q->status != TABLE_NOT_FOUND || q->at >= s->count)
            return;
        if (fiber_inside())
            fiber_yield();
        if (s->generation != generation) {
            generation = s->generation;
            q->at = 0;
        }
    }
}

enum table_status
expression_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    struct search q = { t, key, value, why, 0, TABLE_ERROR };
    char *copy;

    if (rules_refresh(t, why) == TABLE_ERROR)
        return TABLE_ERROR;
    if (key.len > EXPRESSION_SUBJECT_MAX) {
        (void)why_temp(why, "4.3.0", "%s: a key of %zu octets is too long",
            t->spec, key.len);
        return TABLE_ERROR;
    }
    /* regexec() is told the length, but sanitizers look for the NUL. */
    copy = mem_text_of(key);
    q.key.ptr = copy;
    search_all(&q);
    mem_free(copy);
    return q.status;
}
