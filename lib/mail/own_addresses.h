/*
 * own_addresses - the addresses that are this machine: inet_interfaces and
 * proxy_interfaces, resolved once.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>

struct config;
struct own_addresses;

/* Waits (names are looked up on another thread). */
enum result own_addresses_open(const struct config *config,
    struct own_addresses **own, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void own_addresses_close(struct own_addresses *own);

/* An IP address in text, without brackets ("IPv6:" in front is welcome). */
bool own_addresses_have(const struct own_addresses *own, struct slice text)
    ATTR_NONNULL;
