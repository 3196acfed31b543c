/*
 * dns - questions to lookup, which asks the resolver and caches for all.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/io/sock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dns_type {
    DNS_A = 1,
    DNS_NS = 2,
    DNS_CNAME = 5,
    DNS_PTR = 12,
    DNS_MX = 15,
    DNS_TXT = 16,
    DNS_AAAA = 28,
};

enum dns_status {
    DNS_OK,
    DNS_NXDOMAIN, /* no such name */
    DNS_NODATA,   /* the name has no record of the type */
    DNS_TRYAGAIN, /* SERVFAIL, timeout, lookup is gone: why has a text */
    DNS_INVALID,  /* the name is no domain name, or the answer is nonsense */
};

struct dns_record {
    enum dns_type type;
    uint32_t ttl;        /* seconds */
    uint16_t preference; /* MX */
    struct slice name;   /* MX, NS, CNAME, PTR target, without final dot; TXT */
    struct sock_addr addr; /* A, AAAA; port 0 */
};

struct dns_answer {
    enum dns_status status;
    bool secure;                /* validated, or AD believed (dns_trust_ad) */
    struct slice canonical;     /* the owner after CNAMEs, if there were any */
    struct dns_record *records; /* in arena */
    size_t count;
    /*
     * DNS_NXDOMAIN, DNS_NODATA: for how many seconds that holds (RFC 2308); 0:
     * nobody said so.
     */
    uint32_t negative_ttl;
};

/*
 * Ask for records of one type. Texts are in arena. The status is also
 * returned; why is set unless it is DNS_OK. Waits.
 */
enum dns_status dns_ask(struct slice name, enum dns_type type,
    struct arena *arena, int64_t deadline, struct dns_answer *answer,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The addresses of a host by the system's own means (smtp_host_lookup =
 * native): /etc/hosts and what nsswitch.conf names. Waits.
 */
enum { DNS_WANT_INET = 1, DNS_WANT_INET6 = 2 };
enum dns_status dns_ask_native(struct slice host, unsigned families,
    struct arena *arena, int64_t deadline, struct dns_answer *answer,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * The name of an SMTP client: address -> name, and whether that name has the
 * address (smtpd's client name and reverse name). Waits.
 */
enum client_name_status {
    CLIENT_NAME_OK,
    CLIENT_NAME_TEMP, /* the resolver failed: "450 4.7.1" class of answers */
    CLIENT_NAME_PERM, /* no name, or it does not lead back */
};
struct client_name {
    enum client_name_status status;         /* of name */
    enum client_name_status reverse_status; /* of reverse_name */
    char name[256];                         /* verified, or "unknown" */
    char reverse_name[256];                 /* unverified, or "unknown" */
};
void dns_ask_client(const struct sock_addr *addr, int64_t deadline,
    struct client_name *name) ATTR_NONNULL;
