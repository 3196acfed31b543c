/*
 * dns_codec - the questions and answers of lib/dns as messages, for both ends.
 *
 * DNS_ASK     ATTR_NAME, ATTR_TYPE
 * HOST_ASK    ATTR_NAME, ATTR_FLAGS (DNS_WANT_...)
 * DNS_ANSWER, HOST_ANSWER
 *             ATTR_RESULT (enum dns_status), ATTR_FLAGS (1: secure), ATTR_NAME
 *             (canonical), ATTR_TTL (negative), ATTR_RECORD*, ATTR_STATUS,
 *             ATTR_TEXT
 *   record    ATTR_TYPE, ATTR_TTL, ATTR_PREFERENCE, ATTR_NAME or ATTR_DATA
 *             (4 or 16 octets of address)
 * CLIENT_ASK  ATTR_DATA (4 or 16 octets of address)
 * CLIENT_ANSWER
 *             ATTR_NAME, ATTR_RESULT (of name), ATTR_TEXT (reverse name),
 *             ATTR_KIND (of reverse name)
 *
 * Decoding trusts nobody: names and counts are bounded, texts borrow from in.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/dns/dns.h"
#include "lib/ipc/link.h"

enum {
    DNS_NAME_MAX = 255,     /* octets of a name in text, RFC 1035 */
    DNS_TEXT_MAX = 4096,    /* of one TXT record, its strings joined */
    DNS_RECORDS_MAX = 100,  /* of one answer; what is above is dropped */
    DNS_OCTETS_MAX = 49152, /* of all names and texts of one answer */
};

void dns_ask_encode(struct slice name, enum dns_type type, struct msg *m)
    ATTR_NONNULL;
enum result dns_ask_decode(struct slice in, struct slice *name,
    enum dns_type *type, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

void dns_host_ask_encode(struct slice host, unsigned families, struct msg *m)
    ATTR_NONNULL;
enum result dns_host_ask_decode(struct slice in, struct slice *host,
    unsigned *families, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Of DNS_ANSWER and HOST_ANSWER. why is read unless the status is DNS_OK. */
void dns_answer_encode(const struct dns_answer *answer, const struct why *why,
    struct msg *m) ATTR_NONNULL;

/* The status of the answer; DNS_TRYAGAIN for one that is malformed. */
enum dns_status dns_answer_decode(struct slice in, struct arena *arena,
    struct dns_answer *answer, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

void dns_client_ask_encode(const struct sock_addr *addr, struct msg *m)
    ATTR_NONNULL;
enum result dns_client_ask_decode(struct slice in, struct sock_addr *addr,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

void dns_client_answer_encode(const struct client_name *name, struct msg *m)
    ATTR_NONNULL;
enum result dns_client_answer_decode(struct slice in, struct client_name *name,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* "A", "MX" as in Postfix's texts; "TYPE99" is not needed. */
const char *dns_type_name(enum dns_type type);

/* False for a number that is none of enum dns_type. */
bool dns_type_known(uint64_t type);

/* 4 octets make an IPv4 address, 16 an IPv6 one; anything else is refused. */
bool dns_address_of(struct slice octets, struct sock_addr *addr)
    ATTR_NONNULL ATTR_MUST_USE;
