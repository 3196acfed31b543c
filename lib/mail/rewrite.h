/*
 * rewrite - the standard form of addresses (trivial-rewrite(8) "rewrite"):
 * append_at_myorigin, append_dot_mydomain, swap_bangpath, percent hack; and the
 * tables of virtual(5) as recipients pass them.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/mail/envelope.h"

enum rewrite_context {
    REWRITE_LOCAL,  /* complete with myorigin, mydomain */
    REWRITE_REMOTE, /* with remote_header_rewrite_domain, if any */
    REWRITE_NONE,
};

/* address and *out in internal form; *out is in arena. */
enum result rewrite_address(const struct config *config,
    enum rewrite_context context, struct slice address, struct arena *arena,
    struct slice *out, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
