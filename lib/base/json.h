/*
 * json - texts in JSON, as Postfix's postqueue writes them.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

/* "value", with all that must be escaped; no UTF-8 becomes '?'. */
void json_text(struct buf *to, struct slice value) ATTR_NONNULL;

/* "name": "value" */
void json_member(struct buf *to, const char *name, struct slice value)
    ATTR_NONNULL;
