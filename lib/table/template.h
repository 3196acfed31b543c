/*
 * template - queries and results of tables over the network: text with %s, %u,
 * %d, %S, %U, %D, %1 ... %9 and %%, as pgsql_table(5) documents it.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"

#include <stdbool.h>

/* Adds in to to, so that it cannot end what it is put into. False: it fails. */
typedef bool (
    *template_quote_fn)(void *context, struct slice in, struct buf *to);

enum template_status {
    TEMPLATE_DONE,
    TEMPLATE_SUPPRESSED, /* the key lacks a part that is wanted: not found */
    TEMPLATE_FAILED,     /* quoting did */
};

/* False: *bad is the letter behind a percent sign that means nothing. */
bool template_check(const char *text, char *bad) ATTR_NONNULL ATTR_MUST_USE;

/*
 * value is what %s, %u and %d mean, key what %S, %U, %D and %1 ... mean: in a
 * query both are the key. quote NULL: as it is.
 */
enum template_status template_expand(const char *text, struct slice value,
    struct slice key, template_quote_fn quote, void *context, struct buf *to)
    __attribute__((nonnull(1, 6))) ATTR_MUST_USE;
