/*
 * table_type - what a kind of table has to bring: one struct for each, all of
 * them named in the list of table.c.
 *
 * A table and its state belong to the process's loop thread.
 */
#pragma once

#include "lib/base/map.h"
#include "lib/io/fiber.h"
#include "lib/table/table.h"

enum table_type_flag {
    TABLE_WHOLE_KEYS = 1 << 0,  /* patterns: partial keys are not asked */
    TABLE_KEEP_CASE = 1 << 1,   /* keys are not folded to lower case */
    TABLE_REMOTE = 1 << 2,      /* daemons ask lookup: table.c, asked.c */
    TABLE_HAS_FILE = 1 << 3,    /* the name is a file of settings */
    TABLE_UNAUTHENTIC = 1 << 4, /* nobody vouches for who answers */
};

/* What is written beside the file and renamed; see table_writer.c. */
struct table_write_ops {
    const char *suffix; /* ".db" */
    bool bare; /* keys and values without a NUL, unless one is asked for */
    /* An empty file, or with update a copy of the present one. */
    enum result (*open)(struct table_writer *w, const char *path, bool update,
        struct why *why);
    enum result (*put)(struct table_writer *w, struct slice key,
        struct slice value, enum table_put how, bool *duplicate,
        struct why *why);
    enum result (*remove)(struct table_writer *w, struct slice key, bool *found,
        struct why *why);
    /* Everything to the file, flushed. */
    enum result (*finish)(struct table_writer *w, struct why *why);
    /* Free the state; also after a failure of any of these. */
    void (*close)(struct table_writer *w);
};

struct table_type {
    const char *name;
    unsigned flags; /* set of enum table_type_flag */
    /* Fails only where the name itself is wrong: a missing file is found(). */
    enum result (
        *open)(struct table *t, const struct config *config, struct why *why);
    enum table_status (*find)(struct table *t, struct slice key,
        struct buf *value, struct why *why);
    /* Each entry in the file's order; NULL: cannot be listed. */
    enum table_status (*walk)(struct table *t, table_walk_fn fn, void *context,
        struct why *why);
    void (*close)(struct table *t);      /* may be NULL */
    const struct table_write_ops *write; /* NULL: not built by postmap */
};

struct table {
    struct map_node node; /* among the open tables */
    const struct table_type *type;
    char *spec;       /* "type:name" */
    const char *name; /* in spec, behind the colon */
    unsigned references;
    bool forgotten;         /* no longer among the open tables */
    unsigned flags;         /* the type's; open() may change them */
    unsigned open_flags;    /* set of enum table_open_flag */
    struct table_cost cost; /* of TABLE_REMOTE */
    bool loading;           /* a fiber is inside of table_refresh()'s load */
    bool outdated; /* the file changed and cannot be read; the log was told */
    struct fiber_cond loaded;
    void *state; /* the type's */
};

struct table_writer {
    const struct table_type *type;
    char *path, *beside; /* the file, and the one that will replace it */
    int fd;              /* of beside: holds the lock */
    mode_t mode;
    unsigned flags; /* set of enum table_writer_flag */
    void *state;    /* the type's */
};

const struct table_type *table_type_find(struct slice name);

/* What stands between the braces that name begins and ends with. */
bool table_take_off_braces(struct slice in, struct slice *inside) ATTR_NONNULL;

/*
 * Call load when path has changed since it was last loaded. It may wait; what was
 * loaded before stays in use meanwhile, and when it fails. Only one fiber is in
 * it, and t does not close meanwhile. TABLE_FOUND, or TABLE_ERROR. Waits.
 */
struct file_watch;
enum table_status table_refresh(struct table *t, struct file_watch *watch,
    const char *path, enum result (*load)(struct table *t, struct why *why),
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * For such a load: fn(arg), which reads path, on another thread if that may take
 * long enough for sessions to notice.
 */
void table_read_file(const char *path, void (*fn)(void *arg), void *arg)
    ATTR_NONNULL;

extern const struct table_type table_type_cache, table_type_cdb,
    table_type_cidr, table_type_debug, table_type_environ, table_type_fail,
    table_type_inline, table_type_internal, table_type_ldap,
    table_type_memcache, table_type_mysql, table_type_pgsql, table_type_sqlite,
    table_type_redis, table_type_socketmap, table_type_tcp, table_type_pipemap,
    table_type_randmap, table_type_regexp, table_type_static,
    table_type_texthash, table_type_unionmap, table_type_unix;
#ifdef HAVE_PCRE2
extern const struct table_type table_type_pcre;
#endif
#ifdef HAVE_LMDB
extern const struct table_type table_type_lmdb;
#endif
#if defined(HAVE_DB) || defined(HAVE_LMDB)
extern const struct table_type table_type_hash, table_type_btree;
#endif
