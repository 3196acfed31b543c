/*
 * screen_setup - postscreen's parameters, compiled once for each configuration.
 */
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "smtpd/screen_private.h"

enum { WEIGHT_MAX = 1000000 };

static enum screen_action
action_of(const char *word)
{
    /* lib/config knows that it is one of the three. */
    if (slice_eq_nocase(slice_of(word), SLICE_LIT("drop")))
        return ACTION_DROP;
    return slice_eq_nocase(slice_of(word), SLICE_LIT("enforce"))
        ? ACTION_ENFORCE
        : ACTION_IGNORE;
}

static void
set_actions(struct screen *screen)
{
    const struct config *c = screen->config;

    screen->denylisted = action_of(c->postscreen_denylist_action);
    screen->actions[TEST_PREGREET] = action_of(c->postscreen_greet_action);
    screen->actions[TEST_DNSBL] = action_of(c->postscreen_dnsbl_action);
    screen->actions[TEST_PIPELINING] = action_of(
        c->postscreen_pipelining_action);
    screen->actions[TEST_NON_SMTP] = action_of(
        c->postscreen_non_smtp_command_action);
    screen->actions[TEST_BARE_NEWLINE] = action_of(
        c->postscreen_bare_newline_action);
}

static void
set_enabled(struct screen *screen)
{
    const struct config *c = screen->config;

    screen->enabled = 1U << TEST_PREGREET;
    if (screen->site_count > 0)
        screen->enabled |= 1U << TEST_DNSBL;
    if (c->postscreen_pipelining_enable)
        screen->enabled |= 1U << TEST_PIPELINING;
    if (c->postscreen_non_smtp_command_enable)
        screen->enabled |= 1U << TEST_NON_SMTP;
    if (c->postscreen_bare_newline_enable)
        screen->enabled |= 1U << TEST_BARE_NEWLINE;
}

/* postscreen_access_list */

static enum result
parse_rule(const struct screen *screen, struct slice word,
    struct screen_rule *rule, struct why *why)
{
    static const struct {
        const char *word;
        int is;
    } words[] = {
        { "permit", RULE_PERMIT },
        { "reject", RULE_REJECT },
        { "dunno", RULE_DUNNO },
        { "permit_mynetworks", RULE_NETWORKS },
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (slice_eq_nocase(word, slice_of(words[i].word))) {
            rule->is = words[i].is;
            return RESULT_OK;
        }
    if (slice_find(word, ':') == word.len)
        return why_perm(why, "4.3.5",
            "postscreen_access_list: \"" SLICE_FMT
            "\" is not permit, reject, dunno, permit_mynetworks or a table",
            SLICE_ARG(word));
    rule->is = RULE_TABLE;
    return table_open(word, screen->config, &rule->table, why);
}

static enum result
parse_rules(struct screen *screen, struct why *why)
{
    struct slice rest = slice_of(screen->config->postscreen_access_list), word;
    enum result res = RESULT_OK;

    while (res == RESULT_OK && config_list_next(&rest, &word)) {
        screen->rules = mem_resize(screen->rules,
            (screen->rule_count + 1) * sizeof(screen->rules[0]));
        screen->rules[screen->rule_count] = (struct screen_rule){ 0 };
        res = parse_rule(screen, word, &screen->rules[screen->rule_count], why);
        screen->rule_count++;
    }
    return res;
}

/* postscreen_dnsbl_sites */

static size_t
domain_index(struct screen *screen, struct slice domain)
{
    size_t i = 0;

    while (i < screen->domain_count &&
        !slice_eq_nocase(screen->domains[i], domain))
        i++;
    if (i == screen->domain_count) {
        screen->domains = mem_resize(screen->domains,
            (i + 1) * sizeof(screen->domains[0]));
        screen->domains[screen->domain_count++] = domain;
    }
    return i;
}

/* "*3", "*-2": without it, 1. */
static bool
parse_weight(struct slice *text, int *weight)
{
    size_t star = slice_rfind(*text, '*');
    struct slice digits = slice_skip(*text, star + 1);
    bool negative = digits.len > 0 && digits.ptr[0] == '-';
    uint32_t n;

    *weight = 1;
    if (star == text->len)
        return true;
    if (negative)
        digits = slice_skip(digits, 1);
    if (!num_parse_u32(digits, WEIGHT_MAX, &n))
        return false;
    *text = slice_head(*text, star);
    *weight = negative ? -(int)n : (int)n;
    return true;
}

static enum result
parse_sites(struct screen *screen, struct why *why)
{
    struct slice rest = slice_of(screen->config->postscreen_dnsbl_sites), word;

    while (config_list_next(&rest, &word)) {
        struct screen_site *site;
        struct why wrong;

        screen->sites = mem_resize(screen->sites,
            (screen->site_count + 1) * sizeof(screen->sites[0]));
        site = &screen->sites[screen->site_count++];
        *site = (struct screen_site){ 0 };
        if (!parse_weight(&word, &site->weight))
            return why_perm(why, "4.3.5",
                "postscreen_dnsbl_sites: bad weight in \"" SLICE_FMT "\"",
                SLICE_ARG(word));
        if (dns_list_parse(word, &site->list, &wrong) != RESULT_OK)
            return why_perm(why, "4.3.5", "postscreen_dnsbl_sites: %s",
                wrong.text);
        site->domain = domain_index(screen, site->list.domain);
    }
    return RESULT_OK;
}

enum result
screen_open(const struct config *config, const struct config_set *set,
    struct screen **out, struct why *why)
{
    struct screen *screen = mem_alloc(sizeof(*screen));
    enum result res;

    screen->config = config;
    screen->tag_dns = config_tag_of_service(set, "dnsblog", "dnsblog");
    set_actions(screen);
    res = parse_rules(screen, why);
    if (res == RESULT_OK)
        res = parse_sites(screen, why);
    set_enabled(screen);
    if (res == RESULT_OK)
        res = match_list_open(config->mynetworks, MATCH_HOST, false, config,
            &screen->networks, why);
    if (res == RESULT_OK)
        res = match_list_open(config->postscreen_allowlist_interfaces,
            MATCH_HOST, false, config, &screen->interfaces, why);
    if (res == RESULT_OK)
        res = table_list_open(config->postscreen_dnsbl_reply_map, config,
            &screen->reply_names, why);
    *out = screen; /* also what is half built: the profile frees it */
    return res;
}

void
screen_close(struct screen *screen)
{
    if (screen == NULL)
        return;
    for (size_t i = 0; i < screen->rule_count; i++)
        table_close(screen->rules[i].table);
    mem_free(screen->rules);
    mem_free(screen->sites);
    mem_free(screen->domains);
    match_list_close(screen->networks);
    match_list_close(screen->interfaces);
    table_list_close(screen->reply_names);
    mem_free(screen);
}

void
screen_link(const struct profile *own, const struct profile *next)
{
    struct screen *screen = own->screen;

    screen->tag = own->tag;
    screen->forbidden_tables = own->forbidden_tables;
    screen->next = next;
}
