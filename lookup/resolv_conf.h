/*
 * resolv_conf - which resolvers to ask, and how patiently: resolv.conf(5), or
 * the parameter dns_resolvers.
 *
 * Of resolv.conf "nameserver" counts, also as address@port or [address]:port,
 * and of "options" timeout, attempts, use-vc. "search" is not for mail: a next
 * hop is a whole name.
 */
#pragma once

#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/io/sock.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

enum { RESOLVERS_MAX = 8 };

struct resolv_conf {
    struct sock_addr servers[RESOLVERS_MAX]; /* with port */
    size_t count;
    int64_t timeout_ms; /* for one answer */
    unsigned attempts;  /* rounds over all servers */
    bool tcp;           /* never UDP */
};

/* Unknown and malformed lines are skipped, as libc does. */
void resolv_conf_parse(struct slice text, struct resolv_conf *conf)
    ATTR_NONNULL;

/* "192.0.2.1, 127.0.0.1@5353 [::1]:53". RESULT_PERMFAIL: one is no address. */
enum result resolv_conf_parse_list(struct slice list, struct resolv_conf *conf,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* A file that is watched. */
struct resolv_file {
    const char *path;
    int64_t checked_ms; /* clock_now_ms() of the last look; 0: never */
    bool present;
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
    struct resolv_conf conf;
};

/*
 * Look again, at most once a second. True when conf is new; a missing or empty
 * file is one without servers.
 */
bool resolv_file_check(struct resolv_file *file) ATTR_NONNULL;
