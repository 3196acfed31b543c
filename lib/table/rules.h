/*
 * rules - what cidr:, regexp: and pcre: have in common: rules in the order of a
 * file (or of a text in braces in main.cf), with if ... endif around some of
 * them. The first one that matches gives the result. The file is read again
 * when it changes; a rule that makes no sense is named in a warning and left
 * out.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/table/file_watch.h"
#include "lib/table/replacement.h"
#include "lib/table/table_type.h"

enum { RULES_OCTETS_MAX = 1 << 30 };

enum rule_kind { RULE_RESULT, RULE_IF, RULE_ENDIF };

struct rule {
    enum rule_kind kind;
    bool negative;
    unsigned line; /* where it begins in the file */
    size_t end;    /* RULE_IF: where its ENDIF stands, or past the last rule */
    void *pattern; /* the type's */
    struct replacement result;
};

enum match {
    MATCH_NO,
    MATCH_YES,
    MATCH_NEITHER, /* "!pattern" does not match either: another family */
    MATCH_ERROR,
};

struct rules_table;

struct rules_ops {
    const char *type; /* "pcre", for messages */
    const char *stray_endif;
    /* False: the line was named in a warning and is left out. */
    bool (*parse)(struct rules_table *s, unsigned line, struct slice text,
        struct rule *rule);
    /* Does the pattern, without its "!", match? MATCH_ERROR sets why. */
    enum match (*match)(struct rules_table *s, const struct rule *rule,
        const void *subject, struct why *why);
    void (*free_pattern)(void *pattern); /* may be NULL */
};

struct rules_table {
    const struct rules_ops *ops;
    const struct table *table;
    bool literal; /* the rules stand in the table's name */
    bool fixed;   /* $1 and the like are not allowed */
    struct arena arena;
    struct rule *rules;
    size_t count;
    struct file_watch watch;
    unsigned generation;      /* another one after each reading */
    struct captures captures; /* of the last match, where a rule wants them */
};

/* For the type's open() and close(). */
enum result rules_open(struct table *t, const struct rules_ops *ops,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void rules_close(struct table *t) ATTR_NONNULL;

/* Read what is to be read. TABLE_FOUND or TABLE_ERROR. */
enum table_status rules_refresh(struct table *t, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Looks at most rules from *at on, which moves. TABLE_NOT_FOUND with *at less than
 * s->count: there are more. Does not wait. value is added to.
 */
enum table_status rules_find(struct rules_table *s, const void *subject,
    size_t most, size_t *at, struct buf *value, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* "TYPE map NAME, line N: ..." */
void rules_warn(const struct rules_table *s, unsigned line, const char *fmt,
    ...) ATTR_PRINTF(3, 4);

/* "if" or "endif", in any case, and then no letter or digit. */
bool rules_begins_with(struct slice text, struct slice word);

/* What follows "!" and "!!" and the blanks behind each. */
struct slice rules_take_negation(struct slice text, bool *negative)
    ATTR_NONNULL;
