/*
 * mem - allocation from the heap.
 *
 * mem_alloc() and its kin are for sizes that we chose: they never return NULL,
 * running out aborts one supervised process. For a size that a peer chose there
 * is a limit first, and then mem_try_alloc().
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"

#include <stddef.h>

/* Zeroed. Freed with mem_free(). */
void *mem_alloc(size_t size) ATTR_MUST_USE;

/* count * size octets, zeroed; a product that overflows aborts. */
void *mem_alloc_array(size_t count, size_t size) ATTR_MUST_USE;

/* New octets are not zeroed. */
void *mem_resize(void *ptr, size_t size) ATTR_MUST_USE;

/* NULL when there is no memory; not zeroed. */
void *mem_try_alloc(size_t size) ATTR_MUST_USE;
void *mem_try_resize(void *ptr, size_t size) ATTR_MUST_USE;

/* A NUL-terminated copy, owned by the caller. */
char *mem_text(const char *text) ATTR_MUST_USE;
char *mem_text_of(struct slice s) ATTR_MUST_USE;
char *mem_format(const char *fmt, ...) ATTR_PRINTF(1, 2) ATTR_MUST_USE;

/* NULL is welcome. */
void mem_free(void *ptr);
