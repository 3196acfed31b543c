#include "lib/base/buf.h"

#include "lib/base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

enum { BUF_MIN = 64 };

void
buf_init(struct buf *b, size_t ceiling)
{
    *b = (struct buf){ .ceiling = ceiling };
}

void
buf_init_secret(struct buf *b, size_t ceiling)
{
    *b = (struct buf){ .ceiling = ceiling, .secret = true };
}

static void
wipe(struct buf *b)
{
    if (b->secret && b->ptr != NULL)
        explicit_bzero(b->ptr, b->cap);
}

void
buf_fini(struct buf *b)
{
    wipe(b);
    mem_free(b->ptr);
    b->ptr = NULL;
    b->len = b->cap = 0;
}

void
buf_clear(struct buf *b)
{
    wipe(b);
    b->len = 0;
    b->failed = false;
}

/* Content moves by hand where realloc() would leave a copy of a secret. */
static char *
move_to(struct buf *b, size_t cap)
{
    char *ptr;

    if (!b->secret)
        return mem_try_resize(b->ptr, cap);
    ptr = mem_try_alloc(cap);
    if (ptr == NULL)
        return NULL;
    if (b->len > 0)
        memcpy(ptr, b->ptr, b->len);
    wipe(b);
    mem_free(b->ptr);
    return ptr;
}

/* One octet more than asked for, so that buf_text() always has room. */
char *
buf_reserve(struct buf *b, size_t n)
{
    size_t cap = b->cap < BUF_MIN ? BUF_MIN : b->cap;
    char *ptr;

    if (b->failed || n > b->ceiling || b->len > b->ceiling - n) {
        b->failed = true;
        return NULL;
    }
    if (b->cap > b->len + n)
        return b->ptr + b->len;
    while (cap <= b->len + n)
        cap *= 2;
    ptr = move_to(b, cap);
    if (ptr == NULL) {
        b->failed = true;
        return NULL;
    }
    b->ptr = ptr;
    b->cap = cap;
    return b->ptr + b->len;
}

void
buf_advance(struct buf *b, size_t n)
{
    assert(n <= b->cap - b->len);
    b->len += n;
}

void
buf_add(struct buf *b, struct slice s)
{
    char *to;

    if (s.len == 0)
        return;
    to = buf_reserve(b, s.len);
    if (to == NULL)
        return;
    memcpy(to, s.ptr, s.len);
    b->len += s.len;
}

void
buf_add_text(struct buf *b, const char *text)
{
    buf_add(b, slice_of(text));
}

void
buf_add_octet(struct buf *b, unsigned char octet)
{
    char *to = buf_reserve(b, 1);

    if (to == NULL)
        return;
    *to = (char)octet;
    b->len++;
}

void
buf_add_vformat(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    char *to;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    to = n < 0 ? NULL : buf_reserve(b, (size_t)n);
    if (to == NULL)
        return;
    (void)vsnprintf(to, (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
}

void
buf_add_format(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_add_vformat(b, fmt, ap);
    va_end(ap);
}

void
buf_consume(struct buf *b, size_t n)
{
    assert(n <= b->len);
    if (n > 0 && n < b->len)
        memmove(b->ptr, b->ptr + n, b->len - n);
    b->len -= n;
}

void
buf_truncate(struct buf *b, size_t n)
{
    if (n < b->len)
        b->len = n;
}

const char *
buf_text(struct buf *b)
{
    if (b->ptr == NULL)
        return "";
    b->ptr[b->len] = '\0';
    return b->ptr;
}
