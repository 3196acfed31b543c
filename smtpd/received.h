/*
 * received - our Received: header (RFC 5321 section 4.4), in Postfix's form.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"

struct session;

/*
 * The recipient stands in it only when he is the only one: nobody shall learn
 * of another's blind copy. Lines end with CRLF.
 */
void received_header(const struct session *s, struct buf *to) ATTR_NONNULL;
