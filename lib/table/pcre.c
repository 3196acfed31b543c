/*
 * pcre - tables of Perl's regular expressions, as libpcre2 has them: compiled
 * to machine code where that works, with limits on what one match may cost. A
 * subject that meets a limit is an error, not "no match": somebody may have
 * made it for that.
 */
#ifdef HAVE_PCRE2

#    include "lib/base/mem.h"
#    include "lib/table/expression.h"

#    define PCRE2_CODE_UNIT_WIDTH 8
#    include <pcre2.h>

enum {
    MATCH_LIMIT = 1000000, /* steps: some 10 ms */
    DEPTH_LIMIT = 100000,
    HEAP_LIMIT = 20 * 1024,       /* KiB */
    JIT_STACK_FIRST = 32 * 1024,  /* octets */
    JIT_STACK_MOST = 1024 * 1024, /* octets */
};

struct compiled {
    pcre2_code *code;
    pcre2_match_data *data;
};

/* One for the thread: nothing waits during a match. */
static struct {
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
} limits;

static pcre2_match_context *
match_context(void)
{
    if (limits.context != NULL)
        return limits.context;
    limits.context = pcre2_match_context_create(NULL);
    if (limits.context == NULL)
        return NULL;
    (void)pcre2_set_match_limit(limits.context, MATCH_LIMIT);
    (void)pcre2_set_depth_limit(limits.context, DEPTH_LIMIT);
    (void)pcre2_set_heap_limit(limits.context, HEAP_LIMIT);
    limits.stack = pcre2_jit_stack_create(JIT_STACK_FIRST, JIT_STACK_MOST,
        NULL);
    if (limits.stack != NULL)
        pcre2_jit_stack_assign(limits.context, NULL, limits.stack);
    return limits.context;
}

static void
free_pattern(void *pattern)
{
    struct compiled *c = pattern;

    pcre2_match_data_free(c->data);
    pcre2_code_free(c->code);
    mem_free(c);
}

static void *
compile(struct slice pattern, unsigned bits, bool captures, unsigned *groups,
    struct buf *problem)
{
    struct compiled *c = mem_alloc(sizeof(*c));
    uint32_t count;
    PCRE2_SIZE offset;
    int error;

    c->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, bits, &error,
        &offset, NULL);
    if (c->code == NULL) {
        PCRE2_UCHAR said[200];

        (void)pcre2_get_error_message(error, said, sizeof(said));
        buf_add_format(problem, "error in regex at offset %zu: %s", offset,
            (const char *)said);
        mem_free(c);
        return NULL;
    }
    /* Where there is no machine code it is interpreted, with the same limits. */
    (void)pcre2_jit_compile(c->code, PCRE2_JIT_COMPLETE);
    (void)pcre2_pattern_info(c->code, PCRE2_INFO_CAPTURECOUNT, &count);
    *groups = count;
    c->data = pcre2_match_data_create(captures ? count + 1 : 1, NULL);
    if (c->data == NULL) {
        buf_add_text(problem, "out of memory");
        free_pattern(c);
        return NULL;
    }
    return c;
}

static void
take_captures(const struct compiled *c, struct slice subject, unsigned found,
    unsigned wanted, struct captures *captures)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(c->data);

    for (unsigned i = 1; i <= wanted; i++) {
        struct slice *group = &captures->groups[i];

        *group = (struct slice){ "", 0 };
        /* \K in a look-ahead can put a start behind its end. */
        if (i < found && at[2 * i] != PCRE2_UNSET && at[2 * i] <= at[2 * i + 1])
            *group = (struct slice){ subject.ptr + at[2 * i],
                at[2 * i + 1] - at[2 * i] };
    }
}

static enum match
match(void *compiled, struct slice subject, unsigned wanted,
    struct captures *captures, struct buf *problem)
{
    const struct compiled *c = compiled;
    pcre2_match_context *context = match_context();
    int found;

    if (context == NULL) {
        buf_add_text(problem, "out of memory");
        return MATCH_ERROR;
    }
    found = pcre2_match(c->code,
        (PCRE2_SPTR)(subject.len == 0 ? "" : subject.ptr), subject.len, 0, 0,
        c->data, context);
    if (found >= 0) {
        take_captures(c, subject, (unsigned)found, wanted, captures);
        return MATCH_YES;
    }
    if (found == PCRE2_ERROR_NOMATCH)
        return MATCH_NO;
    if (found == PCRE2_ERROR_MATCHLIMIT || found == PCRE2_ERROR_DEPTHLIMIT ||
        found == PCRE2_ERROR_HEAPLIMIT || found == PCRE2_ERROR_JIT_STACKLIMIT)
        buf_add_text(problem, "backtracking limit exceeded");
    else
        buf_add_format(problem, "pcre2_match error %d", found);
    return MATCH_ERROR;
}

static enum result
pcre_open(struct table *t, const struct config *config, struct why *why)
{
    static const struct expression_flag flags[] = {
        { 'i', PCRE2_CASELESS },
        { 'm', PCRE2_MULTILINE },
        { 's', PCRE2_DOTALL },
        { 'x', PCRE2_EXTENDED },
        { 'A', PCRE2_ANCHORED },
        { 'E', PCRE2_DOLLAR_ENDONLY },
        { 'U', PCRE2_UNGREEDY },
        { 0 },
    };
    static const struct expression_ops ops = {
        .rules = {
            .type = "pcre",
            .stray_endif = "ignoring ENDIF without matching IF",
            .parse = expression_parse,
            .match = expression_match,
            .free_pattern = free_pattern,
        },
        .unclosed = "ignoring",
        .obsolete = "X",
        .flags = flags,
        .defaults = PCRE2_CASELESS | PCRE2_DOTALL,
        .compile = compile,
        .match = match,
    };

    (void)config;
    return rules_open(t, &ops.rules, why);
}

const struct table_type table_type_pcre = {
    .name = "pcre",
    .flags = TABLE_WHOLE_KEYS | TABLE_KEEP_CASE,
    .open = pcre_open,
    .find = expression_find,
    .close = rules_close,
};

#else

/* ISO C wants a declaration in each file. */
typedef int pcre_is_left_out;

#endif
