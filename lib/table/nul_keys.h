/*
 * nul_keys - keys of indexed files end with a NUL, or not, as the file's maker
 * had it. The first key that is found tells which, as with Postfix.
 */
#pragma once

#include "lib/table/table.h"

struct nul_keys {
    bool try_nul, try_bare;
};

typedef enum table_status (*nul_keys_get_fn)(void *context, struct slice key,
    struct buf *value, struct why *why);

/* After opening a file. */
void nul_keys_init(struct nul_keys *n) ATTR_NONNULL;

/* get is asked for key in the forms that may be in the file. */
enum table_status nul_keys_find(struct nul_keys *n, struct slice key,
    nul_keys_get_fn get, void *context, struct buf *value, struct why *why)
    __attribute__((nonnull(1, 3, 5, 6))) ATTR_MUST_USE;

/* What stands before a NUL, if there is one. */
struct slice nul_keys_cut(const void *octets, size_t len);
