#include "lib/base/mem.h"

#include "lib/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void *
checked(void *ptr, size_t size)
{
    if (ptr == NULL && size > 0) {
        log_write(LOG_LEVEL_FATAL, NULL, "out of memory: %zu octets", size);
        log_flush();
        abort();
    }
    return ptr;
}

void *
mem_alloc(size_t size)
{
    return checked(calloc(1, size), size);
}

void *
mem_alloc_array(size_t count, size_t size)
{
    return checked(calloc(count, size), count * size);
}

void *
mem_resize(void *ptr, size_t size)
{
    return checked(realloc(ptr, size == 0 ? 1 : size), size);
}

void *
mem_try_alloc(size_t size)
{
    return malloc(size == 0 ? 1 : size);
}

void *
mem_try_resize(void *ptr, size_t size)
{
    return realloc(ptr, size == 0 ? 1 : size);
}

char *
mem_text_of(struct slice s)
{
    char *copy = checked(malloc(s.len + 1), s.len + 1);

    if (s.len > 0)
        memcpy(copy, s.ptr, s.len);
    copy[s.len] = '\0';
    return copy;
}

char *
mem_text(const char *text)
{
    return mem_text_of(slice_of(text));
}

char *
mem_format(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return checked(n < 0 ? NULL : text, 1);
}

void
mem_free(void *ptr)
{
    free(ptr);
}
