/*
 * addresses - the addresses that an inet service of master.cf listens on.
 *
 * master(5): "host:port" names the host itself; a plain "port" means all of
 * inet_interfaces. inet_protocols leaves out what it does not name.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/io/sock.h"

#include <stdbool.h>
#include <stddef.h>

enum { ADDRESSES_MAX = 256 }; /* of one service */

struct addresses {
    struct sock_addr list[ADDRESSES_MAX];
    size_t count;
    /* inet_interfaces = all: one that the machine does not have is no error */
    bool wildcard;
};

/*
 * Host names are looked up: blocks. RESULT_PERMFAIL names the service or the
 * parameter that cannot be understood.
 */
enum result addresses_find(const struct service *service,
    struct addresses *found, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
