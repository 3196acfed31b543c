/*
 * checks - what each restriction does, for the table in checks.c.
 *
 * All may wait.
 */
#pragma once

#include "smtpd/evaluation.h"

#define CHECK_FN(name) \
    enum verdict name(struct evaluation *e, const struct check *c)
#define QUESTION_FN(name) \
    bool name(const struct evaluation *e, const struct check *c, struct buf *to)

/* check_general.c: about nobody in particular */
CHECK_FN(check_permit);
CHECK_FN(check_reject);
CHECK_FN(check_defer);
CHECK_FN(check_defer_if_permit);
CHECK_FN(check_defer_if_reject);
CHECK_FN(check_warn_if_reject);
CHECK_FN(check_sleep);
CHECK_FN(check_class);
CHECK_FN(check_unauth_pipelining);
CHECK_FN(check_plaintext_session);
CHECK_FN(check_multi_recipient_bounce);

/* check_client.c */
CHECK_FN(check_mynetworks);
CHECK_FN(check_inet_interfaces);
CHECK_FN(check_sasl_authenticated);
CHECK_FN(check_tls_clientcerts);
CHECK_FN(check_tls_all_clientcerts);
CHECK_FN(check_unknown_client_hostname);
CHECK_FN(check_unknown_reverse_client_hostname);

/* check_helo.c */
CHECK_FN(check_invalid_helo_hostname);
CHECK_FN(check_non_fqdn_helo_hostname);
CHECK_FN(check_unknown_helo_hostname);
CHECK_FN(check_naked_ip_address);

/* check_address.c */
CHECK_FN(check_non_fqdn_sender);
CHECK_FN(check_non_fqdn_recipient);
CHECK_FN(check_unknown_sender_domain);
CHECK_FN(check_unknown_recipient_domain);
CHECK_FN(check_unlisted_sender);
CHECK_FN(check_unlisted_recipient);
CHECK_FN(check_permit_auth_destination);
CHECK_FN(check_reject_unauth_destination);
CHECK_FN(check_defer_unauth_destination);

/* greylist.c */
CHECK_FN(check_greylist);

/* check_policy.c */
CHECK_FN(check_policy_service);

/* check_verify.c */
CHECK_FN(check_unverified_sender);
CHECK_FN(check_unverified_recipient);

/* check_login.c */
CHECK_FN(check_sender_login_mismatch);
CHECK_FN(check_known_sender_login_mismatch);
CHECK_FN(check_authenticated_sender_login_mismatch);
CHECK_FN(check_unauthenticated_sender_login_mismatch);

/* check_mx_backup.c */
CHECK_FN(check_permit_mx_backup);

/* check_access.c: tables */
CHECK_FN(check_stage_access);
CHECK_FN(check_address_map);
CHECK_FN(check_client_access);
CHECK_FN(check_reverse_client_hostname_access);
CHECK_FN(check_ccert_access);
CHECK_FN(check_sasl_access);
CHECK_FN(check_helo_access);
CHECK_FN(check_sender_access);
CHECK_FN(check_recipient_access);
CHECK_FN(check_etrn_access);

/* check_server.c: tables, by the hosts behind a name */
CHECK_FN(check_client_a_access);
CHECK_FN(check_client_mx_access);
CHECK_FN(check_client_ns_access);
CHECK_FN(check_reverse_client_hostname_a_access);
CHECK_FN(check_reverse_client_hostname_mx_access);
CHECK_FN(check_reverse_client_hostname_ns_access);
CHECK_FN(check_helo_a_access);
CHECK_FN(check_helo_mx_access);
CHECK_FN(check_helo_ns_access);
CHECK_FN(check_sender_a_access);
CHECK_FN(check_sender_mx_access);
CHECK_FN(check_sender_ns_access);
CHECK_FN(check_recipient_a_access);
CHECK_FN(check_recipient_mx_access);
CHECK_FN(check_recipient_ns_access);

/* check_dns_list.c */
CHECK_FN(check_rbl_client);
CHECK_FN(check_dnswl_client);
CHECK_FN(check_rhsbl_client);
CHECK_FN(check_rhswl_client);
CHECK_FN(check_rhsbl_reverse_client);
CHECK_FN(check_rhsbl_helo);
CHECK_FN(check_rhsbl_sender);
CHECK_FN(check_rhsbl_recipient);
QUESTION_FN(question_client_address);
QUESTION_FN(question_client_name);
QUESTION_FN(question_reverse_client_name);
QUESTION_FN(question_helo);
QUESTION_FN(question_sender_domain);
QUESTION_FN(question_recipient_domain);
