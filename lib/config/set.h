/*
 * set - the inside of a snapshot, for lib/config and postconf alone.
 *
 * A scope is main.cf, or one service's view of it: its own "-o" assignments in
 * front of main.cf's. Each scope holds the expanded text of every parameter
 * and struct config made of them.
 *
 * Facts are what values depend on besides the two files: host name, interface
 * addresses, where the programs lie. They are asked once, on load, and travel
 * with the snapshot, so that every process evaluates to the same.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/map.h"
#include "lib/config/config.h"
#include "lib/config/mastercf.h"
#include "lib/config/parameter.h"
#include "lib/config/report.h"

/* The names that a value was made from. */
struct references {
    const struct slice *name;
    size_t count;
    bool always; /* every service has its own value */
};

struct assignment {
    struct map_node node;
    struct assignment *next; /* in the order of the file */
    const char *name;
    const char *text;  /* as written */
    const char *value; /* expanded; NULL before and where that failed */
    unsigned line;
    struct references refers;
};

struct assignments {
    struct map map;
    struct assignment *first, *last;
    size_t count;
};

struct config_scope {
    struct config_set *set;
    const struct config_scope *main; /* NULL: this is main.cf itself */
    struct assignments own;          /* of main.cf, or "-o" */
    struct assignments derived;      /* main.cf's user-defined names that read
                                        otherwise in this scope */
    const char *service_name, *program;
    const char **texts; /* of each parameter, expanded; NULL: it failed */
    struct references *refers; /* of each parameter; main.cf's scope alone */
    struct recorder *recorder; /* of names that are being asked for, or NULL */
    struct config config;
};

struct fact {
    struct map_node node;
    struct fact *next;
    const char *key, *text;
};

struct config_set {
    unsigned references;
    bool live; /* facts may be asked of the system */
    struct arena arena;
    const char *directory;
    const char *main_file, *master_file; /* names for complaints */
    struct map facts;
    struct fact *first_fact;
    struct config_scope main;
    struct master_entries entries;
    struct service *services;
    struct config_scope *scopes;   /* of services, in the same order */
    struct config_scope *stressed; /* likewise, under stress=yes */
    size_t count;                  /* of services */
    const char **tags;             /* services.c */
};

/* set.c */
struct config_set *set_new(const char *directory) ATTR_NONNULL;
void set_free(struct config_set *set);
void *set_alloc(struct config_set *set, size_t size) ATTR_NONNULL;
const char *set_text(struct config_set *set, struct slice s) ATTR_NONNULL;
const char *set_format(struct config_set *set, const char *fmt, ...)
    ATTR_PRINTF(2, 3);
struct assignment *assignments_find(const struct assignments *a,
    struct slice name) ATTR_NONNULL;
/* Takes the place of an earlier one with that name, which *old then says. */
struct assignment *assignments_put(struct config_set *set,
    struct assignments *a, const char *name, const char *text, unsigned line,
    const char **old) ATTR_NONNULL;

/* config.c: an optional file that is not there is empty. */
enum file_need { FILE_REQUIRED, FILE_OPTIONAL };
enum result set_read_file(const char *path, enum file_need need,
    struct buf *text, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* maincf.c */
void main_parse(struct config_set *set, struct slice text,
    struct report *report) ATTR_NONNULL;

/* facts.c: key is "hostname", "interfaces", "program", "file:PATH" ... */
const char *fact_get(struct config_set *set, const char *key) ATTR_NONNULL;
/* The first text of a key stays. */
void fact_put(struct config_set *set, const char *key, struct slice text)
    ATTR_NONNULL;

/* computed.c: NULL where the name has a plain default. */
const char *computed_default(const struct config_scope *scope,
    struct slice name) ATTR_NONNULL;
/* What no assignment changes: config_directory, service_name ... */
const char *computed_always(const struct config_scope *scope, struct slice name)
    ATTR_NONNULL;

/* scope.c */
void scope_init(struct config_scope *scope, struct config_set *set,
    const struct config_scope *main) __attribute__((nonnull(1, 2)));
void scope_fini(struct config_scope *scope) ATTR_NONNULL;
/* The unexpanded text that name has here; NULL: it has none. */
const char *scope_raw(const struct config_scope *scope, struct slice name)
    ATTR_NONNULL;
/* The assignment behind it: own, main.cf's, or NULL for a default. */
struct assignment *scope_origin(const struct config_scope *scope,
    struct slice name) ATTR_NONNULL;
enum result scope_expand(const struct config_scope *scope, const char *text,
    const char **value, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
/* Fill config and texts; complaints with the lines of the assignments. */
void scope_evaluate(struct config_scope *scope, struct report *report)
    ATTR_NONNULL;
/* Whether value is one for p; *n: boolean, number or milliseconds. */
bool scope_parse_value(const struct parameter *p, const char *value, int64_t *n,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* choice.c: parameters that take one, or a list, of some words. */
bool choice_check(const struct parameter *p, const char *value, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* services.c: from set->entries. prepare: all but the values. */
void services_prepare(struct config_set *set, struct report *report)
    ATTR_NONNULL;
void services_build(struct config_set *set, struct report *report) ATTR_NONNULL;
/* The tags of programs that no line of master.cf names. */
void services_make_tags(struct config_set *set) ATTR_NONNULL;
const char *services_tag(const struct config_set *set, const char *program)
    ATTR_NONNULL;

/*
 * state.c: what is unknown, not built, or not applicable. master_report is NULL
 * where master.cf was not read.
 */
void state_check(struct config_set *set, struct report *main_report,
    struct report *master_report) __attribute__((nonnull(1, 2)));

/* names.c: each name that some value in the set, or some default, refers to. */
struct names {
    struct map map;
    struct arena arena;
};
void names_init(struct names *names, const struct config_set *set) ATTR_NONNULL;
void names_fini(struct names *names) ATTR_NONNULL;
bool names_has(const struct names *names, struct slice name) ATTR_NONNULL;
