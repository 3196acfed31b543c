/*
 * mastercf - the lines of master.cf, taken apart (master(5)).
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/config/report.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    MASTER_FIELDS = 8, /* up to and with the command */
    MASTER_ARGUMENTS_MAX = 1024,
    MASTER_ENTRIES_MAX = 4096,
};

enum master_field {
    MASTER_SERVICE,
    MASTER_TYPE,
    MASTER_PRIVATE,
    MASTER_UNPRIV,
    MASTER_CHROOT,
    MASTER_WAKEUP,
    MASTER_MAXPROC,
    MASTER_COMMAND,
};

/* As written; the texts are in the arena that the parser was given. */
struct master_entry {
    const char *field[MASTER_FIELDS];
    const char **argument; /* braces kept: "{ name = value }" */
    size_t arguments;
    unsigned line;
};

struct master_entries {
    struct master_entry *entry;
    size_t count, room;
};

/* One -o of an entry. */
struct master_override {
    const char *name, *text;
};

/* Errors go to the report; what parsed is in *entries all the same. */
void master_parse(struct slice text, struct arena *arena, struct report *report,
    struct master_entries *entries) ATTR_NONNULL;
void master_entries_fini(struct master_entries *entries) ATTR_NONNULL;
void master_entries_add(struct master_entries *entries,
    const struct master_entry *entry) ATTR_NONNULL;

/*
 * The options at the start of the arguments of e. next begins as 0. True with
 * an override in *o; false at the first argument that is no option: its index
 * is in *next. *verbose counts -v. Bad options are reported and skipped.
 */
bool master_next_override(const struct master_entry *e, struct arena *arena,
    struct report *report, size_t *next, unsigned *verbose,
    struct master_override *o) ATTR_NONNULL ATTR_MUST_USE;

/* "{ text }" as text, what is no brace as it is; NULL: no partner at the end. */
const char *master_unbrace(const char *argument, struct arena *arena)
    ATTR_NONNULL;
