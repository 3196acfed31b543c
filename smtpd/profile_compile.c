/*
 * profile_compile - what sessions need of one service's configuration, in the
 * form in which they need it.
 */
#include "lib/mail/address_lookup.h"
#include "lib/mail/envelope.h"
#include "smtpd/command.h"
#include "smtpd/profile_private.h"
#include "smtpd/screen.h"

static const struct {
    enum stage stage;
    const char *parameter;
    size_t offset;
} lists[] = {
#define LIST(stage, parameter)                                \
    {                                                         \
        stage, #parameter, offsetof(struct config, parameter) \
    }
    LIST(STAGE_CLIENT, smtpd_client_restrictions),
    LIST(STAGE_HELO, smtpd_helo_restrictions),
    LIST(STAGE_SENDER, smtpd_sender_restrictions),
    LIST(STAGE_RELAY, smtpd_relay_restrictions),
    LIST(STAGE_RECIPIENT, smtpd_recipient_restrictions),
    LIST(STAGE_DATA, smtpd_data_restrictions),
    LIST(STAGE_END_OF_DATA, smtpd_end_of_data_restrictions),
    LIST(STAGE_ETRN, smtpd_etrn_restrictions),
    LIST(STAGE_REWRITE, local_header_rewrite_clients),
#undef LIST
};

static const char *
text_at(const struct config *config, size_t offset)
{
    const char *text;

    memcpy(&text, (const char *)config + offset, sizeof(text));
    return text;
}

static enum result
compile_list(struct profile *p, enum stage stage, const char *parameter,
    const char *text, struct why *why)
{
    const struct restriction_scope scope = { p->config,
        &p->restriction_classes };
    struct why wrong;
    enum result res = check_list_parse(&scope, stage, slice_of(text),
        &p->lists[stage], NULL, &wrong);

    return res == RESULT_OK
        ? RESULT_OK
        : why_perm(why, "4.3.5", "parameter %s: %s", parameter, wrong.text);
}

static enum result
compile_lists(struct profile *p, struct why *why)
{
    enum result res = restriction_classes_parse(p->config,
        &p->restriction_classes, why);

    /* Who is not let through meets none; others meet those of smtpd. */
    if (p->screen != NULL)
        return res;

    for (size_t i = 0; res == RESULT_OK && i < sizeof(lists) / sizeof(lists[0]);
         i++)
        if (!p->stand_alone || lists[i].stage == STAGE_REWRITE)
            res = compile_list(p, lists[i].stage, lists[i].parameter,
                text_at(p->config, lists[i].offset), why);
    if (res != RESULT_OK)
        return res;
    if (p->stand_alone || check_list_guards_relay(&p->lists[STAGE_RELAY]) ||
        check_list_guards_relay(&p->lists[STAGE_RECIPIENT]))
        return RESULT_OK;
    return why_perm(why, "4.3.5",
        "in parameter smtpd_relay_restrictions or "
        "smtpd_recipient_restrictions, specify at least one working instance "
        "of: reject_unauth_destination, defer_unauth_destination, reject, "
        "defer, defer_if_permit or check_relay_domains");
}

static enum result
parse_bare_newline(struct profile *p, struct why *why)
{
    static const struct {
        const char *word;
        enum bare_newline value;
    } words[] = {
        { "no", BARE_NEWLINE_ALLOW },
        { "yes", BARE_NEWLINE_NORMALIZE },
        { "normalize", BARE_NEWLINE_NORMALIZE },
        { "note", BARE_NEWLINE_NOTE },
        { "reject", BARE_NEWLINE_REJECT },
    };
    struct slice value = slice_of(p->config->smtpd_forbid_bare_newline);

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (slice_eq_nocase(value, slice_of(words[i].word))) {
            p->bare_newline = words[i].value;
            return RESULT_OK;
        }
    return why_perm(why, "4.3.5",
        "bad parameter value: smtpd_forbid_bare_newline = " SLICE_FMT,
        SLICE_ARG(value));
}

/*
 * The words, and the one pattern that stands there by default, are
 * command_is_forbidden()'s; the tables are asked besides.
 */
static enum result
open_forbidden_tables(struct profile *p, struct why *why)
{
    struct slice rest = slice_of(p->config->smtpd_forbidden_commands), word;
    struct buf tables;
    enum result res = RESULT_OK;

    buf_init(&tables, rest.len + 1);
    while (config_list_next(&rest, &word))
        if (slice_find(word, ':') < word.len &&
            !slice_eq_text(word, COMMAND_NO_LETTER)) {
            buf_add(&tables, word);
            buf_add_octet(&tables, ' ');
        }
    if (tables.len > 0)
        res = match_list_open(buf_text(&tables), MATCH_STRING, false, p->config,
            &p->forbidden_tables, why);
    buf_fini(&tables);
    return res;
}

static enum result
parse_proxy(struct profile *p, struct why *why)
{
    static const struct {
        const char *word;
        enum proxy_use use;
    } words[] = {
        { "require", PROXY_REQUIRED },
        { "accept", PROXY_ACCEPTED },
        { "forbid", PROXY_FORBIDDEN },
    };
    const char *protocol = p->config->smtpd_upstream_proxy_protocol;
    const char *use = p->config->smtpd_upstream_proxy_use;

    if (protocol[0] == '\0')
        return RESULT_OK;
    if (strcmp(protocol, "haproxy") != 0)
        return why_perm(why, "4.3.5",
            "unsupported smtpd_upstream_proxy_protocol: %s", protocol);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(use, words[i].word) == 0) {
            p->proxy = words[i].use;
            return RESULT_OK;
        }
    return why_perm(why, "4.3.5",
        "bad parameter value: smtpd_upstream_proxy_use = %s", use);
}

enum result
receive_override_parse(const char *text, uint32_t *flags, bool *no_unknown,
    struct why *why)
{
    static const struct {
        const char *word;
        uint32_t flags;
    } words[] = {
        { "no_address_mappings", ENVELOPE_NO_MAPPING },
        { "no_header_body_checks", ENVELOPE_NO_CHECKS },
        { "no_milters", ENVELOPE_NO_MILTERS },
        { "no_unknown_recipient_checks", 0 },
    };
    struct slice rest = slice_of(text), word;

    *flags = 0;
    *no_unknown = false;
    while (config_list_next(&rest, &word)) {
        size_t i, n = sizeof(words) / sizeof(words[0]);

        for (i = 0; i < n; i++)
            if (slice_eq_nocase(word, slice_of(words[i].word)))
                break;
        if (i == n)
            return why_perm(why, "4.3.5",
                "bad parameter value: receive_override_options = %s", text);
        *flags |= words[i].flags;
        *no_unknown |= words[i].flags == 0;
    }
    return RESULT_OK;
}

/* The lists of hosts, domains and words that sessions are matched with. */
static const struct {
    const char *parameter;
    size_t text, list; /* in struct config, struct profile */
    enum match_kind kind;
    const char *parent; /* of parent_domain_matches_subdomains; NULL: no */
} match_lists[] = {
#define MATCH(parameter, member, kind, parent)             \
    {                                                      \
#        parameter, offsetof(struct config, parameter),    \
            offsetof(struct profile, member), kind, parent \
    }
    MATCH(mynetworks, mynetworks, MATCH_HOST, "mynetworks"),
    MATCH(smtpd_forbid_bare_newline_exclusions, bare_newline_exclusions,
        MATCH_HOST, "mynetworks"),
    MATCH(permit_mx_backup_networks, mx_backup_networks, MATCH_HOST,
        "permit_mx_backup_networks"),
    MATCH(smtpd_client_event_limit_exceptions, limit_exceptions, MATCH_HOST,
        "smtpd_client_event_limit_exceptions"),
    MATCH(smtpd_upstream_proxy_networks, proxy_networks, MATCH_HOST, NULL),
    MATCH(smtpd_authorized_xclient_hosts, xclient_hosts, MATCH_HOST,
        "smtpd_authorized_xclient_hosts"),
    MATCH(smtpd_authorized_xforward_hosts, xforward_hosts, MATCH_HOST,
        "smtpd_authorized_xforward_hosts"),
    MATCH(fast_flush_domains, fast_flush_domains, MATCH_DOMAIN,
        "fast_flush_domains"),
    MATCH(smtpd_log_access_permit_actions, logged_permits, MATCH_STRING, NULL),
#undef MATCH
};

static enum result
open_match_lists(struct profile *p, struct why *why)
{
    enum result res = RESULT_OK;

    for (size_t i = 0;
         res == RESULT_OK && i < sizeof(match_lists) / sizeof(match_lists[0]);
         i++) {
        struct match_list **list = (void *)((char *)p + match_lists[i].list);
        const char *parent = match_lists[i].parent;

        res = match_list_open(text_at(p->config, match_lists[i].text),
            match_lists[i].kind,
            parent != NULL && address_class_parent_matches(p->config, parent),
            p->config, list, why);
    }
    p->access_parents_match = address_class_parent_matches(p->config,
        "smtpd_access_maps");
    if (p->config->smtpd_log_access_permit_actions[0] == '\0') {
        match_list_close(p->logged_permits);
        p->logged_permits = NULL;
    }
    return res;
}

static const struct {
    size_t text, list;
} table_lists[] = {
#define TABLES(parameter, member)                                            \
    {                                                                        \
        offsetof(struct config, parameter), offsetof(struct profile, member) \
    }
    TABLES(rbl_reply_maps, rbl_reply_maps),
    TABLES(relay_clientcerts, relay_clientcerts),
    TABLES(smtpd_command_filter, command_filter),
    TABLES(smtpd_reject_filter_maps, reject_filter),
    TABLES(smtpd_reject_footer_maps, reject_footers),
    TABLES(smtpd_discard_ehlo_keyword_address_maps, discard_keywords),
    TABLES(smtpd_sender_login_maps, sender_logins),
    TABLES(smtpd_dns_reply_filter, dns_filter),
#undef TABLES
};

/* What stands in the way of every command or reply is asked only when set. */
static void
drop_empty(struct table_list **list)
{
    if (*list == NULL || !table_list_empty(*list))
        return;
    table_list_close(*list);
    *list = NULL;
}

static void
drop_empty_tables(struct profile *p)
{
    drop_empty(&p->command_filter);
    drop_empty(&p->reject_filter);
    drop_empty(&p->reject_footers);
    drop_empty(&p->discard_keywords);
    drop_empty(&p->sender_logins);
    drop_empty(&p->dns_filter);
}

static enum result
open_tables(struct profile *p, struct why *why)
{
    enum result res = RESULT_OK;

    for (size_t i = 0;
         res == RESULT_OK && i < sizeof(table_lists) / sizeof(table_lists[0]);
         i++)
        res = table_list_open(text_at(p->config, table_lists[i].text),
            p->config, (void *)((char *)p + table_lists[i].list), why);
    drop_empty_tables(p);
    return res;
}

static enum result
open_transports(struct profile *p, struct why *why)
{
    const struct config *c = p->rewrite;

    p->transport_forms = ADDRESS_TRANSPORT |
        (address_class_parent_matches(c, "transport_maps")
                ? ADDRESS_PARENTS
                : ADDRESS_PARENTS_DOT);
    return table_list_open_with(c->transport_maps, TABLE_NO_SUBSTITUTION, c,
        &p->transports, why);
}

static void
close_lists(struct profile *p)
{
    for (size_t i = 0; i < sizeof(match_lists) / sizeof(match_lists[0]); i++)
        match_list_close(
            *(struct match_list **)(void *)((char *)p + match_lists[i].list));
    for (size_t i = 0; i < sizeof(table_lists) / sizeof(table_lists[0]); i++)
        table_list_close(
            *(struct table_list **)(void *)((char *)p + table_lists[i].list));
}

/* C's escapes: "\t", "\40". */
static void
parse_expansion_filter(struct profile *p)
{
    static const char letters[] = "abfnrtv", values[] = "\a\b\f\n\r\t\v";
    const char *text = p->config->smtpd_expansion_filter;

    while (*text != '\0') {
        unsigned char c = (unsigned char)*text++;

        if (c == '\\' && *text >= '0' && *text <= '7') {
            unsigned octal = 0;

            for (int i = 0; i < 3 && *text >= '0' && *text <= '7'; i++)
                octal = octal * 8 + (unsigned)(*text++ - '0');
            c = (unsigned char)(octal & 255);
        } else if (c == '\\' && *text != '\0') {
            const char *letter = strchr(letters, *text);

            c = (unsigned char)(letter == NULL ? *text
                                               : values[letter - letters]);
            text++;
        }
        p->expansion_allowed[c] = true;
    }
}

enum result
profile_compile(struct profile *p, struct why *why)
{
    enum result res = compile_lists(p, why);

    if (res == RESULT_OK)
        res = parse_bare_newline(p, why);
    if (res == RESULT_OK)
        res = open_forbidden_tables(p, why);
    if (res == RESULT_OK)
        res = parse_proxy(p, why);
    if (res == RESULT_OK)
        res = receive_override_parse(p->config->receive_override_options,
            &p->overrides, &p->no_unknown_recipient_checks, why);
    if (res == RESULT_OK)
        res = open_match_lists(p, why);
    if (res == RESULT_OK)
        res = open_tables(p, why);
    if (res == RESULT_OK)
        res = open_transports(p, why);
    parse_expansion_filter(p);
    if (res == RESULT_OK)
        res = own_addresses_open(p->config, &p->own, why);
    if (res == RESULT_OK)
        res = address_classes_open(p->config, &p->classes, why);
    if (res == RESULT_OK)
        res = recipient_tables_open(p->classes, &p->recipients, why);
    return res;
}

void
profile_fini(struct profile *p)
{
    screen_close(p->screen);
    for (size_t i = 0; i < STAGE_COUNT; i++)
        check_list_free(&p->lists[i]);
    restriction_classes_free(&p->restriction_classes);
    close_lists(p);
    match_list_close(p->forbidden_tables);
    own_addresses_close(p->own);
    recipient_tables_close(p->recipients);
    address_classes_close(p->classes);
    table_list_close(p->transports);
}
