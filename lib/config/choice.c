#include "lib/config/expand.h"
#include "lib/config/set.h"

enum choice_kind {
    ONE,  /* one of the words */
    LIST, /* any number of them */
};

static const struct {
    const char *name;
    enum choice_kind kind;
    const char *words; /* a leading blank: empty is one of them */
} choices[] = {
    { "header_from_format", ONE, "standard obsolete" },
    { "inet_protocols", LIST, "all ipv4 ipv6" },
    { "info_log_address_format", ONE, "external internal" },
    { "lmtp_address_preference", ONE, "any ipv4 ipv6" },
    { "lmtp_address_verify_target", ONE, "rcpt data" },
    { "lmtp_dns_support_level", ONE, " disabled enabled dnssec" },
    { "lmtp_host_lookup", LIST, "dns native" },
    { "mailbox_delivery_lock", LIST, " flock fcntl dotlock" },
    { "mynetworks_style", ONE, "class subnet host" },
    { "notify_classes", LIST,
        " bounce 2bounce data delay policy protocol resource software" },
    { "postscreen_bare_newline_action", ONE, "ignore enforce drop" },
    { "postscreen_denylist_action", ONE, "ignore enforce drop" },
    { "postscreen_dnsbl_action", ONE, "ignore enforce drop" },
    { "postscreen_greet_action", ONE, "ignore enforce drop" },
    { "postscreen_non_smtp_command_action", ONE, "ignore enforce drop" },
    { "postscreen_pipelining_action", ONE, "ignore enforce drop" },
    { "smtp_address_preference", ONE, "any ipv4 ipv6" },
    { "smtp_address_verify_target", ONE, "rcpt data" },
    { "smtp_dns_support_level", ONE, " disabled enabled dnssec" },
    { "smtp_host_lookup", LIST, "dns native" },
    { "smtpd_forbid_bare_newline", ONE, "no yes normalize note reject" },
    { "virtual_mailbox_lock", LIST, " flock fcntl dotlock" },
};

static bool
is_word(const char *words, struct slice value)
{
    struct slice rest = slice_of(words), word;

    while (slice_word(&rest, " ", &word)) {
        if (slice_eq_nocase(word, value))
            return true;
    }
    return false;
}

static bool
holds(enum choice_kind kind, const char *words, struct slice value)
{
    struct slice element;

    if (slice_trim(value).len == 0)
        return words[0] == ' ';
    if (kind == ONE)
        return is_word(words, slice_trim(value));
    while (config_list_next(&value, &element)) {
        if (!is_word(words, element))
            return false;
    }
    return true;
}

bool
choice_check(const struct parameter *p, const char *value, struct why *why)
{
    int order;

    if (p->type != PARAMETER_STR)
        return true;
    if (strcmp(p->name, "compatibility_level") == 0) {
        if (expand_compare_levels(slice_of(value), SLICE_LIT("0"), &order))
            return true;
        why_perm(why, "5.3.5", "not a level such as 3.6");
        return false;
    }
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        if (strcmp(p->name, choices[i].name) != 0 ||
            holds(choices[i].kind, choices[i].words, slice_of(value)))
            continue;
        why_perm(why, "5.3.5", "%s of %s",
            choices[i].kind == ONE ? "not one" : "not a list",
            choices[i].words + (choices[i].words[0] == ' '));
        return false;
    }
    return true;
}
