/*
 * profile - what one smtpd line of master.cf means, compiled once for each
 * configuration: restriction lists, match lists, the tables of recipients.
 *
 * Sessions hold the profile that they began with, so that a reload changes new
 * sessions only; the old ones go with their last session.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/mail/address_class.h"
#include "lib/mail/own_addresses.h"
#include "lib/mail/recipient_check.h"
#include "lib/table/table.h"
#include "smtpd/restriction.h"
#include "smtpd/unstuff.h"

#include <stdbool.h>
#include <stdint.h>

enum bare_newline {
    BARE_NEWLINE_ALLOW,     /* "no" */
    BARE_NEWLINE_NORMALIZE, /* "yes", "normalize" */
    BARE_NEWLINE_NOTE,      /* the same, with a line in the log */
    BARE_NEWLINE_REJECT,
};

/* Whether clients come through a proxy that speaks the PROXY protocol. */
enum proxy_use {
    PROXY_FORBIDDEN, /* smtpd_upstream_proxy_protocol is empty, or "forbid" */
    PROXY_ACCEPTED,  /* those of smtpd_upstream_proxy_networks do */
    PROXY_REQUIRED,  /* and nobody else may come */
};

struct screen;

struct profile {
    const char *name;             /* of the service, for messages */
    const struct config *config;  /* under its overrides */
    const struct config *rewrite; /* of rewrite_service_name */
    const char *tag;              /* "postfix/smtpd"; NULL: the process's */
    /*
     * sendmail -bs: whoever may use the socket may submit, so there are no
     * restrictions, and what he sends is local mail.
     */
    bool stand_alone;
    /* What comes before the session; NULL: nothing. */
    struct screen *screen;
    /* Under overload (stress=yes): the same without it; else NULL. */
    const struct profile *calm;
    bool long_ids;
    enum bare_newline bare_newline;
    /* receive_override_options, as flags of an envelope and for us. */
    uint32_t overrides;
    bool no_unknown_recipient_checks;
    struct restriction_classes restriction_classes;
    struct check_list lists[STAGE_COUNT];
    bool access_parents_match; /* parent_domain_matches_subdomains */
    struct match_list *mynetworks;
    struct match_list *mx_backup_networks;
    struct match_list *logged_permits; /* NULL: none are */
    struct table_list *rbl_reply_maps;
    struct table_list *relay_clientcerts;
    enum proxy_use proxy;
    struct match_list *proxy_networks;
    struct match_list *limit_exceptions;
    struct match_list *xclient_hosts, *xforward_hosts;
    struct match_list *fast_flush_domains;
    struct match_list *forbidden_tables; /* of smtpd_forbidden_commands */
    struct table_list *command_filter;   /* these are NULL when not set */
    struct table_list *reject_filter, *reject_footers;
    struct table_list *discard_keywords;
    struct table_list *sender_logins; /* smtpd_sender_login_maps */
    struct table_list *dns_filter;    /* smtpd_dns_reply_filter */
    bool expansion_allowed[256];      /* smtpd_expansion_filter */
    struct match_list *bare_newline_exclusions;
    struct own_addresses *own;
    struct address_classes *classes;
    struct recipient_tables *recipients;
    struct table_list *transports; /* transport_maps, of "rewrite" */
    unsigned transport_forms;      /* set of enum address_form */
};

/*
 * Compile the profiles of all services in set that smtpd serves. They are kept
 * beside those of older snapshots. Fails with the first thing that is wrong.
 * Waits (names in inet_interfaces).
 */
enum result profiles_compile(struct config_set *set, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * The profile of service in set, for one more user; NULL service, or public
 * true: that of sendmail -bs. stressed: as under overload. NULL: there is none.
 */
const struct profile *profile_use(struct config_set *set,
    const struct service *service, bool public, bool stressed)
    __attribute__((nonnull(1))) ATTR_MUST_USE;
void profile_leave(const struct profile *p); /* NULL is welcome */

/* One more user of p, which has one. Returns p. */
const struct profile *profile_hold(const struct profile *p) ATTR_NONNULL;

/* Let the newest go, too: the process ends. */
void profiles_forget(void);

/*
 * "no_address_mappings, ...": as flags of an envelope, and in *no_unknown what
 * is for a server alone to obey.
 */
enum result receive_override_parse(const char *text, uint32_t *flags,
    bool *no_unknown, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
