/*
 * postconf - show and edit main.cf and master.cf. What its parts share.
 *
 * The output is what Postfix's postconf(1) prints, octet by octet: scripts and
 * configuration tools read it.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/set.h"

#include <stdbool.h>
#include <stddef.h>

enum postconf_object {
    OBJECT_MAIN,      /* main.cf */
    OBJECT_SERVICE,   /* -M: lines of master.cf */
    OBJECT_FIELD,     /* -F: their fields */
    OBJECT_PARAMETER, /* -P: their -o */
};

enum postconf_action {
    ACTION_SHOW,
    ACTION_EDIT,    /* -e */
    ACTION_COMMENT, /* -# */
    ACTION_REMOVE,  /* -X */
};

enum { CLASS_BUILTIN = 1, CLASS_SERVICE = 2, CLASS_USER = 4, CLASS_ALL = 7 };

struct postconf {
    const char *directory;
    enum postconf_object object;
    enum postconf_action action;
    unsigned classes;
    bool defaults;    /* -d */
    bool set_only;    /* -n */
    bool expand;      /* -x */
    bool fold;        /* -f */
    bool hide_names;  /* -h */
    bool hide_values; /* -H */
    char **override;  /* -o name=value */
    size_t overrides;
    char **argument;
    size_t arguments;
    struct config_set *set;
};

/* "postconf: warning: ...", "postconf: fatal: ..." and exit status 1. */
void postconf_warn(const char *fmt, ...) ATTR_PRINTF(1, 2);
void postconf_fatal(const char *fmt, ...)
    __attribute__((format(printf, 1, 2), noreturn));

/* One of these, for struct report. */
void postconf_tell(void *context, enum config_severity severity,
    const char *text);

/* The value of a parameter as it is to be shown. */
const char *postconf_value(const struct postconf *pc,
    const struct config_scope *scope, const char *text) ATTR_NONNULL;

/* showmain.c */
void show_main(struct postconf *pc) ATTR_NONNULL;

/* showmaster.c */
void show_services(struct postconf *pc) ATTR_NONNULL;
void show_fields(struct postconf *pc) ATTR_NONNULL;
void show_overrides(struct postconf *pc) ATTR_NONNULL;
/* One line of master.cf, folded when fold. */
void format_entry(const struct postconf *pc, const struct master_entry *e,
    const struct config_scope *scope, bool fold, struct buf *to)
    __attribute__((nonnull(1, 2, 5)));

/* editmain.c, editmaster.c */
void edit_main(struct postconf *pc) ATTR_NONNULL;
void edit_master(struct postconf *pc) ATTR_NONNULL;

/* unused.c: names in main.cf or in -o that nothing looks at. */
void warn_unused_main(const struct postconf *pc) ATTR_NONNULL;
void warn_unused_overrides(const struct postconf *pc) ATTR_NONNULL;
