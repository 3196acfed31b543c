#include "local/lock_methods.h"

#include "lib/config/config.h"
#include "local/mailbox.h"

static const struct {
    const char *name;
    enum mailbox_lock lock;
} methods[] = {
    { "fcntl", MAILBOX_LOCK_FCNTL },
    { "dotlock", MAILBOX_LOCK_DOT },
    { "flock", MAILBOX_LOCK_FLOCK },
};

static uint32_t
method(struct slice name)
{
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (slice_eq_nocase(name, slice_of(methods[i].name)))
            return methods[i].lock;
    return 0;
}

enum result
lock_methods_parse(const char *text, uint32_t *locks, struct why *why)
{
    struct slice rest = slice_of(text), name;
    uint32_t set = 0, one;

    while (config_list_next(&rest, &name)) {
        one = method(name);
        if (one == 0)
            return why_perm(why, "5.3.5",
                "unknown mailbox lock method \"" SLICE_FMT "\"",
                SLICE_ARG(name));
        set |= one;
    }
    *locks = set;
    return RESULT_OK;
}
