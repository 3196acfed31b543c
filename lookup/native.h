/*
 * native - hosts by the system's own means, getaddrinfo(3) and getnameinfo(3):
 * /etc/hosts and what nsswitch.conf names. They block, so threads do it.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/dns/dns.h"

/* families: DNS_WANT_... Waits; libc's own time limits apply. */
enum dns_status native_host(struct slice host, unsigned families,
    struct arena *arena, struct dns_answer *answer, struct why *why)
    ATTR_NONNULL;

/*
 * The name of an SMTP client as Postfix's smtpd finds it: address to name, then
 * name to addresses, one of which must be the same. Waits.
 */
void native_client(const struct sock_addr *addr, struct client_name *name)
    ATTR_NONNULL;
