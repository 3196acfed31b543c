/*
 * slice - a borrowed run of bytes: pointer and length, no terminator.
 *
 * A slice owns nothing and may contain NUL. It is valid for as long as the
 * buffer, arena or literal it points into.
 */
#pragma once

#include "lib/base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

struct slice {
    const char *ptr;
    size_t len;
};

#define SLICE_LIT(s) ((struct slice){ (s), sizeof(s) - 1 })
#define SLICE_FMT    "%.*s"
#define SLICE_ARG(s) (int)(s).len, (s).ptr

static inline bool
slice_eq(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* ASCII case folding only: enough for SMTP verbs and LDH domain names. */
static inline bool
slice_eq_nocase(struct slice a, struct slice b)
{
    return a.len == b.len &&
        (a.len == 0 || strncasecmp(a.ptr, b.ptr, a.len) == 0);
}

/* The first n bytes, or all of them when there are fewer. */
static inline struct slice
slice_head(struct slice s, size_t n)
{
    return (struct slice){ s.ptr, n < s.len ? n : s.len };
}

/* What remains after the first n bytes; empty when there are fewer. */
static inline struct slice
slice_skip(struct slice s, size_t n)
{
    if (n > s.len)
        n = s.len;
    return (struct slice){ n == 0 ? s.ptr : s.ptr + n, s.len - n };
}

/* Offset of the first c, or s.len when there is none. */
static inline size_t
slice_find(struct slice s, char c)
{
    const char *hit = s.len == 0 ? NULL : memchr(s.ptr, c, s.len);

    return hit == NULL ? s.len : (size_t)(hit - s.ptr);
}

static inline struct slice
slice_of(const char *text)
{
    return (struct slice){ text, text == NULL ? 0 : strlen(text) };
}

static inline bool
slice_eq_text(struct slice a, const char *text)
{
    return slice_eq(a, slice_of(text));
}

static inline bool
slice_starts(struct slice s, struct slice prefix)
{
    return s.len >= prefix.len &&
        (prefix.len == 0 || memcmp(s.ptr, prefix.ptr, prefix.len) == 0);
}

static inline bool
slice_starts_nocase(struct slice s, struct slice prefix)
{
    return slice_eq_nocase(slice_head(s, prefix.len), prefix);
}

static inline bool
slice_ends_nocase(struct slice s, struct slice suffix)
{
    return s.len >= suffix.len &&
        slice_eq_nocase(slice_skip(s, s.len - suffix.len), suffix);
}

/* Offset of the last c, or s.len when there is none. */
static inline size_t
slice_rfind(struct slice s, char c)
{
    const char *hit = s.len == 0 ? NULL : memrchr(s.ptr, c, s.len);

    return hit == NULL ? s.len : (size_t)(hit - s.ptr);
}

/* Without blanks (space, tab, CR, LF) at both ends. */
struct slice slice_trim(struct slice s);

/* Without the LF or CRLF that it may end with. */
struct slice slice_without_line_end(struct slice line);

/* At least one octet, and nothing but digits? */
bool slice_is_digits(struct slice s);

/* No octet above 127? */
bool slice_is_ascii(struct slice s);

/*
 * Cut the next word off *rest: what stands between octets of separators.
 * False when only separators, or nothing, are left. "{ ... }" is not special.
 */
bool slice_word(struct slice *rest, const char *separators, struct slice *word)
    ATTR_NONNULL;

/*
 * Cut the next line off *rest, without its LF or CRLF. False when nothing is
 * left. A last line without an end is a line.
 */
bool slice_line(struct slice *rest, struct slice *line) ATTR_NONNULL;
