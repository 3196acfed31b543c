/*
 * table - lookup tables "type:name" and the lists that main.cf makes of them.
 *
 * One interface, a backend for each type (struct table_type in table_type.h).
 * Keys are folded to lower case first where the type wants it. A table is
 * opened once per process and shared; a changed file is noticed at the next
 * lookup a second or more after (without a restart). Lookups may wait.
 *
 * Types that work inside the process: hash btree lmdb cdb texthash inline static
 * cidr regexp pcre unix environ internal unionmap pipemap randmap debug fail;
 * "proxy:" in front of one of these is dropped. What cannot be asked gives TABLE_ERROR, never TABLE_NOT_FOUND.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct config;
struct table;
struct table_list;

enum table_status {
    TABLE_FOUND,
    TABLE_NOT_FOUND,
    TABLE_ERROR, /* try again later: why says which table and what */
};

/*
 * May somebody who is not the admin name it? It is open already, so that the
 * configuration has it too, or has neither file nor host.
 */
bool table_is_harmless(struct slice spec) ATTR_MUST_USE;

/*
 * Open "type:name" (or what default_database_type makes of a bare "name").
 * Opening the same again gives the same table with one more reference.
 * RESULT_PERMFAIL: unknown type, bad syntax. A file that is missing is
 * RESULT_TEMPFAIL at open only if must_exist; otherwise each lookup says
 * TABLE_ERROR until it is there.
 */
enum result table_open(struct slice spec, const struct config *config,
    struct table **table, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * What a table must not do where its answers give rights away (aliases, files
 * and users of mailboxes, transports). The same table with other flags is
 * another table.
 */
enum table_open_flag {
    TABLE_NO_SUBSTITUTION = 1 << 0, /* rules with $1 are left out */
    TABLE_NO_PROXY = 1 << 1,        /* "proxy:" is passed over */
    TABLE_NO_UNAUTHENTIC = 1 << 2, /* no tcp:, which says nothing of who asks */
    TABLE_SENSITIVE = TABLE_NO_SUBSTITUTION | TABLE_NO_PROXY |
        TABLE_NO_UNAUTHENTIC,
};
enum result table_open_with(struct slice spec, unsigned flags,
    const struct config *config, struct table **table, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
/*
 * What is opened from now on is opened anew, also where it is open already:
 * after a reload, since settings and passwords may be others. What is open goes
 * on until it is closed.
 */
void table_forget_open(void);
void table_close(struct table *table); /* one reference; NULL is welcome */
const char *table_name(const struct table *table) ATTR_NONNULL;

/* Longer keys are not found (types that fold keys). */
enum { TABLE_KEY_MAX = 2048 };

/* value is replaced. Waits. */
enum table_status table_find(struct table *table, struct slice key,
    struct buf *value, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* The same with the key as it is, not folded (postmap -f). Waits. */
enum table_status table_find_unfolded(struct table *table, struct slice key,
    struct buf *value, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/*
 * What asking tables over the network has cost since the start of the process:
 * in lookup that of the servers, elsewhere with the way to lookup and back.
 */
enum { TABLE_COST_STEPS = 18 };
struct table_cost {
    uint64_t asked, found, errors;
    uint64_t ms, ms_most;            /* waited: all together, and the longest */
    uint64_t took[TABLE_COST_STEPS]; /* how many how long: cost.c */
    unsigned under_way;
};
void table_each_cost(void (*fn)(void *context, const char *spec,
                         const struct table_cost *cost),
    void *context) __attribute__((nonnull(1)));

/*
 * Ask each table with a file of its own that is open here, and log a warning for
 * those that cannot be: who configures them hears of it before mail does. Waits.
 */
void table_warn_unavailable(void);

/*
 * Each entry in the table's own order, for commands: until fn returns false.
 * TABLE_FOUND: walked; TABLE_ERROR: unreadable, or a type without a list.
 */
typedef bool (
    *table_walk_fn)(void *context, struct slice key, struct slice value);
enum table_status table_walk(struct table *table, table_walk_fn fn,
    void *context, struct why *why) __attribute__((nonnull(1, 2, 4)))
ATTR_MUST_USE;

/* True for regexp:, pcre:, cidr: ...: partial keys are not asked. */
bool table_matches_whole_keys(const struct table *table) ATTR_NONNULL;

/*
 * A parameter that names tables in order, "hash:/a, texthash:/b": the first
 * that has the key wins. An empty text is a list that finds nothing.
 */
enum result table_list_open(const char *text, const struct config *config,
    struct table_list **list, struct why *why) __attribute__((nonnull(1, 3, 4)))
ATTR_MUST_USE;
enum result table_list_open_with(const char *text, unsigned flags,
    const struct config *config, struct table_list **list, struct why *why)
    __attribute__((nonnull(1, 4, 5))) ATTR_MUST_USE;
void table_list_close(struct table_list *list);
bool table_list_empty(const struct table_list *list) ATTR_NONNULL;
enum table_status table_list_find(struct table_list *list, struct slice key,
    struct buf *value, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Part of a key ("@domain", "user"): tables of patterns are not asked. */
enum table_status table_list_find_partial(struct table_list *list,
    struct slice key, struct buf *value, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * The search order of addresses, as virtual(5), canonical(5) and transport(5)
 * document it, is in lib/mail/address_lookup.h: it needs addresses.
 */

/*
 * Match lists such as mydestination, mynetworks, relay_domains: patterns,
 * "!pattern", "/file/name", "type:table", each in order; domains match their
 * subdomains where parent is true (parent_domain_matches_subdomains), or when
 * the pattern begins with a dot.
 */
struct match_list;
enum match_kind { MATCH_DOMAIN, MATCH_ADDRESS, MATCH_HOST, MATCH_STRING };
enum result match_list_open(const char *text, enum match_kind kind, bool parent,
    const struct config *config, struct match_list **list, struct why *why)
    __attribute__((nonnull(1, 4, 5, 6))) ATTR_MUST_USE;
void match_list_close(struct match_list *list);

/* MATCH_DOMAIN, MATCH_STRING, MATCH_ADDRESS: subject. Waits. */
enum table_status match_list_find(struct match_list *list, struct slice subject,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* MATCH_HOST: name and address text ("[::1]" patterns, nets a/b). Waits. */
enum table_status match_list_find_host(struct match_list *list,
    struct slice name, struct slice address, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Building indexed files (postmap, postalias, newaliases): hash: and btree: in
 * Berkeley DB's format, lmdb: and cdb:, as Postfix's postmap makes them, keys and
 * values with a NUL at the end except in cdb:. The file is written beside, flushed, and renamed into place
 * by table_writer_commit(): readers have the old one or the new one. One writer
 * at a time for each file; another waits up to TABLE_WRITER_WAIT_MS.
 */
enum { TABLE_WRITER_WAIT_MS = 60 * 1000 };
enum table_writer_flag {
    TABLE_WRITER_UPDATE = 1 << 0, /* begin with what is there */
    TABLE_WRITER_FOLD = 1 << 1,   /* keys to lower case */
    TABLE_WRITER_NO_NUL = 1 << 2, /* keys and values without the NUL */
    TABLE_WRITER_NUL = 1 << 3,    /* with it, where that is not usual (cdb:) */
};
enum table_put {
    TABLE_PUT_NEW,     /* an entry that is there stays: *duplicate */
    TABLE_PUT_REPLACE, /* and is replaced */
    TABLE_PUT_RAW,     /* replaced, and never folded nor with a NUL */
};
struct table_writer;
enum result table_writer_open(struct slice type, const char *file, mode_t mode,
    unsigned flags, struct table_writer **w, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
const char *table_writer_path(const struct table_writer *w) ATTR_NONNULL;
enum result table_writer_put(struct table_writer *w, struct slice key,
    struct slice value, enum table_put how, bool *duplicate, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
enum result table_writer_remove(struct table_writer *w, struct slice key,
    bool *found, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Both free w. */
enum result table_writer_commit(struct table_writer *w, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void table_writer_abort(struct table_writer *w);

/* The types that this build has: each name, until NULL. */
const char *table_type_name(size_t i);
