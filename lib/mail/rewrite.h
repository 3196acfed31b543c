/*
 * rewrite - the standard form of addresses, as trivial-rewrite(8) makes it:
 * swap_bangpath, allow_percent_hack, append_at_myorigin, append_dot_mydomain, no
 * source route, no dot at the end.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

enum rewrite_context {
    REWRITE_LOCAL,  /* complete with myorigin, mydomain: envelopes too */
    REWRITE_REMOTE, /* with remote_header_rewrite_domain, if any */
    REWRITE_NONE,
};

/*
 * address and *out in internal form; *out is in arena, or is address where
 * nothing changes. config is that of the rewrite service. The null address
 * stays as it is.
 */
enum result rewrite_address(const struct config *config,
    enum rewrite_context context, struct slice address, struct arena *arena,
    struct slice *out, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
