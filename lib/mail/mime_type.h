/*
 * mime_type - what a header says of the body behind it: Content-Type: and
 * Content-Transfer-Encoding: (RFC 2045 sections 5 and 6).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/mail/header.h"
#include "lib/mail/mime.h"

#include <stdbool.h>

struct mime_type {
    enum mime_kind named; /* by Content-Type, whatever else is missing */
    enum mime_encoding encoding;
    bool digest;         /* multipart/digest */
    struct buf boundary; /* its ceiling is what counts of it */
};

void mime_type_init(struct mime_type *t, size_t boundary_max) ATTR_NONNULL;
void mime_type_fini(struct mime_type *t) ATTR_NONNULL;

/* Of a header that says nothing. in_digest: as a part of a multipart/digest. */
void mime_type_clear(struct mime_type *t, bool in_digest) ATTR_NONNULL;

/* Fields that say nothing of the body are passed over; the last one counts. */
void mime_type_read(struct mime_type *t, const struct header_field *f)
    ATTR_NONNULL;

/* The header is read: how the body is to be looked at. */
enum mime_kind mime_type_kind(const struct mime_type *t) ATTR_NONNULL;
