/*
 * cidr - blocks of addresses: "192.0.2.0/24 text", "!2001:db8::/32 text",
 * "if pattern ... endif".
 */
#include "lib/table/net.h"
#include "lib/table/rules.h"

static bool
take_net(struct rules_table *s, unsigned line, struct slice text,
    struct rule *rule)
{
    struct net *net = arena_alloc(&s->arena, sizeof(*net));
    char suggested[NET_TEXT_MAX];

    if (net == NULL) {
        rules_warn(s, line, "table is full");
        return false;
    }
    rule->pattern = net;
    switch (net_parse_pattern(text, net)) {
    case NET_OK:
        return true;
    case NET_HOST_BITS:
        rules_warn(s, line,
            "non-null host address bits in \"" SLICE_FMT
            "\", perhaps you should use \"%s\" instead: skipping this rule",
            SLICE_ARG(text), net_text(net, suggested));
        return false;
    case NET_BAD_LENGTH:
        rules_warn(s, line,
            "bad mask length in \"" SLICE_FMT "\": skipping this rule",
            SLICE_ARG(text));
        return false;
    case NET_NOT:
        break;
    }
    rules_warn(s, line,
        "bad address pattern: \"" SLICE_FMT "\": skipping this rule",
        SLICE_ARG(text));
    return false;
}

static bool
cidr_parse(struct rules_table *s, unsigned line, struct slice text,
    struct rule *rule)
{
    const struct slice if_word = SLICE_LIT("if"),
                       endif_word = SLICE_LIT("endif");
    struct slice rest, pattern;

    if (rules_begins_with(text, endif_word)) {
        rule->kind = RULE_ENDIF;
        if (text.len == endif_word.len)
            return true;
        rules_warn(s, line, "garbage after ENDIF: skipping this rule");
        return false;
    }
    if (rules_begins_with(text, if_word)) {
        rule->kind = RULE_IF;
        pattern = slice_trim(slice_skip(text, if_word.len));
        pattern = rules_take_negation(pattern, &rule->negative);
        rest = SLICE_LIT("");
    } else {
        rest = rules_take_negation(text, &rule->negative);
        if (!slice_word(&rest, " \t\r\n", &pattern))
            pattern = SLICE_LIT("");
        rest = slice_trim(rest);
    }
    if (pattern.len == 0) {
        rules_warn(s, line, "no address pattern: skipping this rule");
        return false;
    }
    if (rule->kind == RULE_RESULT && rest.len == 0) {
        rules_warn(s, line, "no lookup result: skipping this rule");
        return false;
    }
    return take_net(s, line, pattern, rule) &&
        replacement_plain(rest, &s->arena, &rule->result);
}

static enum match
cidr_match(struct rules_table *s, const struct rule *rule, const void *subject,
    struct why *why)
{
    const struct net *net = rule->pattern;
    const struct net_address *address = subject;

    (void)s;
    (void)why;
    if (net->base.size != address->size)
        return MATCH_NEITHER;
    return net_contains(net, address) ? MATCH_YES : MATCH_NO;
}

static enum result
cidr_open(struct table *t, const struct config *config, struct why *why)
{
    static const struct rules_ops ops = {
        .type = "cidr",
        .stray_endif = "ENDIF without IF: skipping this rule",
        .parse = cidr_parse,
        .match = cidr_match,
    };

    (void)config;
    return rules_open(t, &ops, why);
}

/* What is no address is in no block, and outside of none either. */
static enum table_status
cidr_find(struct table *t, struct slice key, struct buf *value, struct why *why)
{
    struct net_address address;
    size_t at = 0;

    if (rules_refresh(t, why) == TABLE_ERROR)
        return TABLE_ERROR;
    if (!net_address_parse_exact(key, &address))
        return TABLE_NOT_FOUND;
    return rules_find(t->state, &address, SIZE_MAX, &at, value, why);
}

const struct table_type table_type_cidr = {
    .name = "cidr",
    .flags = TABLE_WHOLE_KEYS | TABLE_KEEP_CASE,
    .open = cidr_open,
    .find = cidr_find,
    .close = rules_close,
};
