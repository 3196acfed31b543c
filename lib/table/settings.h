/*
 * settings - how a table over the network is reached and asked: a file in the
 * syntax of main.cf, or, for a name that is no path, parameters "name_setting"
 * of main.cf itself.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"
#include "lib/table/table_type.h"

struct settings;

/* RESULT_TEMPFAIL: the file cannot be read. Borrows t and config. */
enum result settings_open(const struct table *t, const struct config *config,
    struct settings **s, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void settings_close(struct settings *s); /* NULL is welcome */

/* NULL: not set. Good until settings_close(). */
const char *settings_get(const struct settings *s, const char *name)
    ATTR_NONNULL;
const char *settings_text(const struct settings *s, const char *name,
    const char *fallback) __attribute__((nonnull(1, 2)));

/* What is no number in that range is an error. */
enum result settings_number(const struct settings *s, const char *name,
    int64_t least, int64_t most, int64_t *n, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Seconds without a unit. */
enum result settings_time(const struct settings *s, const char *name,
    int64_t *ms, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * What all of them have: "domain", "result_format", "expansion_limit".
 */
struct match_list;
struct results {
    const char *spec; /* of the table, for messages */
    char *format;
    struct match_list *domains; /* NULL: any key */
    int64_t limit;              /* 0: none */
};
enum result results_open(struct results *r, const struct table *t,
    const struct settings *s, const struct config *config, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void results_close(struct results *r) ATTR_NONNULL;

/* TABLE_FOUND: this key is asked for. TABLE_NOT_FOUND: it is not. Waits. */
enum table_status results_want(const struct results *r, struct slice key,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* One value, formatted, behind *count others. False: over the limit. */
bool results_add(const struct results *r, struct slice key, struct slice value,
    unsigned *count, struct buf *to) ATTR_NONNULL ATTR_MUST_USE;
