/*
 * open_tables - for tests that ask tables: a configuration in the folder of
 * tables.h, for all tests of a program, and answers as text. After cmocka.h.
 */
#pragma once

#include "lib/table/table.h"
#include "tests/unit/tables.h"

static struct config_set *tables_set;

static inline const struct config *
tables_main(void)
{
    return config_main(tables_set);
}

/* For main(): more is main.cf. */
static inline int
tables_begin(const char *more)
{
    tables_init();
    tables_set = tables_config(more);
    return 0;
}

static inline int
tables_set_up(void **state)
{
    (void)state;
    return tables_begin("");
}

static inline int
tables_tear_down(void **state)
{
    (void)state;
    config_drop(tables_set);
    tables_fini();
    return 0;
}

static inline bool
tables_built(const char *type)
{
    for (size_t i = 0; table_type_name(i) != NULL; i++)
        if (strcmp(table_type_name(i), type) == 0)
            return true;
    return false;
}

/* Not in its callers' frames, which are large enough. */
__attribute__((noinline, unused)) static struct table *
tables_open_with(const char *spec, unsigned flags)
{
    struct table *t = NULL;
    struct why why;

    if (table_open_with(slice_of(spec), flags, tables_main(), &t, &why) !=
        RESULT_OK)
        fail_msg("%s: %s", spec, why.text);
    return t;
}

static inline struct table *
tables_open(const char *spec)
{
    return tables_open_with(spec, 0);
}

/* The value, "-" when there is none, "!" and the reason on an error. */
static char tables_said[1024];

__attribute__((noinline, unused)) static const char *
tables_ask_for(struct table *t, struct slice key)
{
    char *const text = tables_said;
    const size_t room = sizeof(tables_said);
    struct buf value;
    struct why why;

    buf_init(&value, room - 1);
    switch (table_find(t, key, &value, &why)) {
    case TABLE_FOUND:
        (void)snprintf(text, room, "%s", buf_text(&value));
        break;
    case TABLE_NOT_FOUND:
        (void)snprintf(text, room, "-");
        break;
    case TABLE_ERROR:
        (void)snprintf(text, room, "!%s", why.text);
        break;
    }
    buf_fini(&value);
    return text;
}

static inline const char *
tables_ask(struct table *t, const char *key)
{
    return tables_ask_for(t, slice_of(key));
}
