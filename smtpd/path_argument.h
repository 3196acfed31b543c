/*
 * path_argument - what stands behind MAIL and RCPT: "FROM:<address> parameters".
 *
 * It takes what clients really send, as Postfix does: no angle brackets (unless
 * strict_rfc821_envelopes), blanks inside them, a local part alone. The brackets,
 * quotes and source route end here: behind it an address is in internal form.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdbool.h>

struct path_argument {
    struct slice text;       /* as sent, for the log; borrows from args */
    struct slice address;    /* internal form, in the arena; empty: "<>" */
    struct slice parameters; /* what follows; borrows from args */
};

enum path_status {
    PATH_FOUND,
    PATH_MISSING,   /* not "FROM:..." at all */
    PATH_MALFORMED, /* text is set */
    PATH_NO_MEMORY, /* the arena's ceiling is met */
};

/* keyword is "FROM" or "TO". */
enum path_status path_argument_parse(struct slice args, const char *keyword,
    bool strict, struct arena *arena, struct path_argument *out)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * An address alone, with or without angle brackets, as VRFY and sendmail(1)
 * have it.
 */
enum path_status path_address_parse(struct slice text, bool strict,
    struct arena *arena, struct slice *address) ATTR_NONNULL ATTR_MUST_USE;
