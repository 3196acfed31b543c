/*
 * expression - rules with regular expressions, "/pattern/flags text": what
 * regexp: and pcre: have in common.
 *
 * Matching digs deep, and its time depends on the subject: it runs on the
 * thread's stack, and subjects are bounded.
 */
#pragma once

#include "lib/table/rules.h"

/*
 * header_size_limit is 100 KiB; what is longer than this is an error, not "no
 * match", which would let it through.
 */
enum { EXPRESSION_SUBJECT_MAX = 256 * 1024 };

struct expression_flag {
    char letter; /* 0 ends the list */
    unsigned bit;
};

struct expression_ops {
    struct rules_ops rules;
    const char *unclosed; /* what is done about a pattern without an end */
    const char *obsolete; /* letters that mean nothing any more */
    const struct expression_flag *flags; /* each letter turns its bit around */
    unsigned defaults;                   /* bits */
    /*
     * NULL: *problem says why. Without captures nothing but whether it
     * matches will be asked. *groups: how many parentheses.
     */
    void *(*compile)(struct slice pattern, unsigned bits, bool captures,
        unsigned *groups, struct buf *problem);
    /* captures may be NULL; of it the first wanted + 1 are set. */
    enum match (*match)(void *compiled, struct slice subject, unsigned wanted,
        struct captures *captures, struct buf *problem);
};

/* For struct table_type and struct rules_ops. */
enum table_status expression_find(struct table *t, struct slice key,
    struct buf *value, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
bool expression_parse(struct rules_table *s, unsigned line, struct slice text,
    struct rule *rule) ATTR_NONNULL ATTR_MUST_USE;
enum match expression_match(struct rules_table *s, const struct rule *rule,
    const void *subject, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
