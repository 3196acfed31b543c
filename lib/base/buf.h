/*
 * buf - octets being built: growable, owned, with the most that it may hold.
 *
 * Running into the ceiling is remembered instead of checked at each call: add
 * what there is to add, then ask buf_failed() once. A failed buffer holds what
 * fitted before and takes nothing more.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t ceiling;
    bool failed;
    bool secret; /* wiped when it grows, is cleared or goes */
};

void buf_init(struct buf *b, size_t ceiling) ATTR_NONNULL;
void buf_init_secret(struct buf *b, size_t ceiling) ATTR_NONNULL;
void buf_fini(struct buf *b) ATTR_NONNULL;

/* Empty again, memory kept; "failed" is forgotten. */
void buf_clear(struct buf *b) ATTR_NONNULL;

void buf_add(struct buf *b, struct slice s) ATTR_NONNULL;
void buf_add_text(struct buf *b, const char *text) ATTR_NONNULL;
void buf_add_octet(struct buf *b, unsigned char octet) ATTR_NONNULL;
void buf_add_format(struct buf *b, const char *fmt, ...) ATTR_PRINTF(2, 3);
void buf_add_vformat(struct buf *b, const char *fmt, va_list ap)
    ATTR_PRINTF(2, 0);

/*
 * Room for at least n octets behind the content, or NULL. The caller writes
 * there and says with buf_advance() how many it used.
 */
char *buf_reserve(struct buf *b, size_t n) ATTR_NONNULL ATTR_MUST_USE;
void buf_advance(struct buf *b, size_t n) ATTR_NONNULL;

/* Drop the first n octets. */
void buf_consume(struct buf *b, size_t n) ATTR_NONNULL;

/* Keep only the first n octets. */
void buf_truncate(struct buf *b, size_t n) ATTR_NONNULL;

/* NUL-terminated (the NUL is not counted); "" when empty or out of memory. */
const char *buf_text(struct buf *b) ATTR_NONNULL;

static inline bool
buf_failed(const struct buf *b)
{
    return b->failed;
}

/* Good until the buffer changes. */
static inline struct slice
buf_slice(const struct buf *b)
{
    return (struct slice){ b->ptr, b->len };
}
