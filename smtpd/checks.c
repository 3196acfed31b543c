/*
 * checks - the restrictions that there are: each once, with what it takes and
 * what does it.
 */
#include "smtpd/checks.h"

#define PLAIN(name, fn, flags)               \
    {                                        \
        name, fn, ARGUMENT_NONE, flags, NULL \
    }
#define TABLE(name, fn, flags)                \
    {                                         \
        name, fn, ARGUMENT_TABLE, flags, NULL \
    }
#define DNS(name, fn, question, flags)               \
    {                                                \
        name, fn, ARGUMENT_DNS_LIST, flags, question \
    }
#define GUARD   RESTRICTION_GUARDS_RELAY
#define REWRITE RESTRICTION_FOR_REWRITE
#define SAFE    RESTRICTION_NO_PERMIT
#define OLD     RESTRICTION_OLD

const struct restriction restrictions[] = {
    PLAIN("permit", check_permit, REWRITE),
    PLAIN("reject", check_reject, GUARD),
    PLAIN("defer", check_defer, GUARD),
    PLAIN("defer_if_permit", check_defer_if_permit, GUARD),
    PLAIN("defer_if_reject", check_defer_if_reject, 0),
    { "warn_if_reject", check_warn_if_reject, ARGUMENT_CHECK, 0, NULL },
    { "check_policy_service", check_policy_service, ARGUMENT_POLICY, 0, NULL },
    PLAIN("check_greylist", check_greylist, 0),
    { "sleep", check_sleep, ARGUMENT_NUMBER, 0, NULL },
    PLAIN("reject_unauth_pipelining", check_unauth_pipelining, 0),
    PLAIN("reject_plaintext_session", check_plaintext_session, 0),
    PLAIN("reject_multi_recipient_bounce", check_multi_recipient_bounce, 0),

    PLAIN("permit_mynetworks", check_mynetworks, REWRITE),
    PLAIN("permit_inet_interfaces", check_inet_interfaces, REWRITE),
    PLAIN("permit_sasl_authenticated", check_sasl_authenticated, REWRITE),
    PLAIN("permit_tls_clientcerts", check_tls_clientcerts, REWRITE),
    PLAIN("permit_tls_all_clientcerts", check_tls_all_clientcerts, REWRITE),
    PLAIN("reject_unknown_client_hostname", check_unknown_client_hostname, 0),
    PLAIN("reject_unknown_client", check_unknown_client_hostname, OLD),
    PLAIN("reject_unknown_reverse_client_hostname",
        check_unknown_reverse_client_hostname, 0),
    TABLE("check_client_access", check_client_access, 0),
    TABLE("check_reverse_client_hostname_access",
        check_reverse_client_hostname_access, SAFE),
    TABLE("check_ccert_access", check_ccert_access, 0),
    TABLE("check_sasl_access", check_sasl_access, 0),
    TABLE("check_client_a_access", check_client_a_access, SAFE),
    TABLE("check_client_mx_access", check_client_mx_access, SAFE),
    TABLE("check_client_ns_access", check_client_ns_access, SAFE),
    TABLE("check_reverse_client_hostname_a_access",
        check_reverse_client_hostname_a_access, SAFE),
    TABLE("check_reverse_client_hostname_mx_access",
        check_reverse_client_hostname_mx_access, SAFE),
    TABLE("check_reverse_client_hostname_ns_access",
        check_reverse_client_hostname_ns_access, SAFE),
    DNS("reject_rbl_client", check_rbl_client, question_client_address, 0),
    DNS("reject_rbl", check_rbl_client, question_client_address, OLD),
    DNS("permit_dnswl_client", check_dnswl_client, question_client_address, 0),
    DNS("reject_rhsbl_client", check_rhsbl_client, question_client_name, 0),
    DNS("permit_rhswl_client", check_rhswl_client, question_client_name, 0),
    DNS("reject_rhsbl_reverse_client", check_rhsbl_reverse_client,
        question_reverse_client_name, 0),

    PLAIN("reject_invalid_helo_hostname", check_invalid_helo_hostname, 0),
    PLAIN("reject_invalid_hostname", check_invalid_helo_hostname, OLD),
    PLAIN("reject_non_fqdn_helo_hostname", check_non_fqdn_helo_hostname, 0),
    PLAIN("reject_non_fqdn_hostname", check_non_fqdn_helo_hostname, OLD),
    PLAIN("reject_unknown_helo_hostname", check_unknown_helo_hostname, 0),
    PLAIN("reject_unknown_hostname", check_unknown_helo_hostname, OLD),
    PLAIN("permit_naked_ip_address", check_naked_ip_address, OLD),
    TABLE("check_helo_access", check_helo_access, 0),
    TABLE("check_helo_a_access", check_helo_a_access, SAFE),
    TABLE("check_helo_mx_access", check_helo_mx_access, SAFE),
    TABLE("check_helo_ns_access", check_helo_ns_access, SAFE),
    DNS("reject_rhsbl_helo", check_rhsbl_helo, question_helo, 0),

    PLAIN("reject_non_fqdn_sender", check_non_fqdn_sender, 0),
    PLAIN("reject_unknown_sender_domain", check_unknown_sender_domain, 0),
    PLAIN("reject_unknown_address", check_unknown_sender_domain, OLD),
    PLAIN("reject_unlisted_sender", check_unlisted_sender, 0),
    PLAIN("reject_unverified_sender", check_unverified_sender, 0),
    PLAIN("reject_sender_login_mismatch", check_sender_login_mismatch, 0),
    PLAIN("reject_known_sender_login_mismatch",
        check_known_sender_login_mismatch, 0),
    PLAIN("reject_authenticated_sender_login_mismatch",
        check_authenticated_sender_login_mismatch, 0),
    PLAIN("reject_unauthenticated_sender_login_mismatch",
        check_unauthenticated_sender_login_mismatch, 0),
    TABLE("check_sender_access", check_sender_access, 0),
    TABLE("check_sender_a_access", check_sender_a_access, SAFE),
    TABLE("check_sender_mx_access", check_sender_mx_access, SAFE),
    TABLE("check_sender_ns_access", check_sender_ns_access, SAFE),
    DNS("reject_rhsbl_sender", check_rhsbl_sender, question_sender_domain, 0),

    PLAIN("reject_non_fqdn_recipient", check_non_fqdn_recipient, 0),
    PLAIN("reject_unknown_recipient_domain", check_unknown_recipient_domain, 0),
    PLAIN("reject_unlisted_recipient", check_unlisted_recipient, 0),
    PLAIN("check_recipient_maps", check_unlisted_recipient, OLD),
    PLAIN("reject_unverified_recipient", check_unverified_recipient, 0),
    PLAIN("permit_auth_destination", check_permit_auth_destination, 0),
    PLAIN("permit_mx_backup", check_permit_mx_backup, 0),
    PLAIN("reject_unauth_destination", check_reject_unauth_destination, GUARD),
    PLAIN("defer_unauth_destination", check_defer_unauth_destination, GUARD),
    TABLE("check_recipient_access", check_recipient_access, 0),
    TABLE("check_recipient_a_access", check_recipient_a_access, SAFE),
    TABLE("check_recipient_mx_access", check_recipient_mx_access, SAFE),
    TABLE("check_recipient_ns_access", check_recipient_ns_access, SAFE),
    DNS("reject_rhsbl_recipient", check_rhsbl_recipient,
        question_recipient_domain, 0),

    TABLE("check_etrn_access", check_etrn_access, 0),

    TABLE("check_address_map", check_address_map, REWRITE),
    { NULL, NULL, ARGUMENT_NONE, 0, NULL },
};
