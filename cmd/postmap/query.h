/*
 * query - postmap -q, -d and -s: asking tables, deleting from them, listing.
 */
#pragma once

#include "cmd/postmap/message.h"
#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"

#include <stdbool.h>

struct query {
    const struct config *config;
    bool fold;          /* keys to lower case; -f: not */
    bool decode;        /* -F: values are base64 */
    bool json;          /* -j: {"key": "value"} */
    unsigned message;   /* set of enum message_keys: -h -b -m */
    const char *colon;  /* between key and value: "" or ":" */
    char *const *specs; /* "type:name", or a bare name; ends with NULL */
};

/*
 * The first table that has the key: its value to standard output. *found says
 * whether there was one.
 */
enum result query_key(const struct query *q, struct slice key, bool *found,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * Each line of standard input as a key, or what query.message makes of it; "key
 * value" for those found.
 */
enum result query_keys(const struct query *q, bool *found, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* One entry out of each table. */
enum result delete_key(const struct query *q, struct slice key, bool *found,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;
enum result delete_keys(const struct query *q, bool *found, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* All entries. */
enum result list_tables(const struct query *q, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
