/*
 * attribute - what replies may say of a session by $name: in default_rbl_reply,
 * smtpd_reject_footer and their like.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>

struct session;

enum { ATTRIBUTE_MAX = 1024 };

/*
 * The value of a name into *to. False: there is no such name. Octets that
 * smtpd_expansion_filter does not let through are '_'.
 */
bool attribute_find(const struct session *s, struct slice name, struct buf *to)
    ATTR_NONNULL;

/* What is put in besides must pass the same filter. */
void attribute_add_filtered(const struct session *s, struct slice value,
    struct buf *to) ATTR_NONNULL;
