/*
 * mime_convert - a message whose parts are encoded anew, for who does not take
 * what it has (RFC 6152, RFC 3030).
 *
 * Only parts that say that they need it are touched; a signature over their
 * encoded form is lost, over the decoded one it holds.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

/* What the other side does not take. */
enum mime_convert_what {
    /* Octets that are no lines (BODY=BINARYMIME): they become base64. */
    MIME_CONVERT_BINARY,
};

struct mime_convert;

/*
 * out gets the octets of the message that is made. config has
 * mime_nesting_limit, mime_boundary_length_limit and header_size_limit.
 */
struct mime_convert *mime_convert_new(enum mime_convert_what what,
    const struct config *config,
    void (*out)(void *context, struct slice octets), void *context)
    __attribute__((nonnull(2, 3))) ATTR_MUST_USE;
void mime_convert_free(struct mime_convert *c);

/* Octets of the message, in pieces of any size. Waits when out does. */
void mime_convert_take(struct mime_convert *c, struct slice octets)
    ATTR_NONNULL;

/* All is there; as mime_end(). */
enum result mime_convert_end(struct mime_convert *c, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
