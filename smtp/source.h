/*
 * source - the local address that a connection is made from.
 */
#pragma once

#include "lib/config/config.h"
#include "lib/io/sock.h"

#include <stdbool.h>

/*
 * smtp_bind_address or smtp_bind_address6; else the one address of the family
 * that inet_interfaces names, when it is no loopback address. False: any.
 */
bool source_address(const struct config *config, int family,
    struct sock_addr *from) ATTR_NONNULL;
