/*
 * table - lookup tables "type:name" and the lists that main.cf makes of them.
 *
 * One interface, a backend for each type (struct table_type in table_type.h).
 * Keys are folded to lower case first where the type wants it. A table is
 * opened once per process and shared; a changed file is noticed at the next
 * lookup a second or more after (without a restart). Lookups may wait.
 *
 * Types that work inside the process: hash btree texthash inline static unix
 * environ fail, later cidr regexp pcre ...; "proxy:" in front of one of these
 * is dropped. What cannot be asked gives TABLE_ERROR, never TABLE_NOT_FOUND.
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
 * Open "type:name" (or what default_database_type makes of a bare "name").
 * Opening the same again gives the same table with one more reference.
 * RESULT_PERMFAIL: unknown type, bad syntax. A file that is missing is
 * RESULT_TEMPFAIL at open only if must_exist; otherwise each lookup says
 * TABLE_ERROR until it is there.
 */
enum result table_open(struct slice spec, const struct config *config,
    struct table **table, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
void table_close(struct table *table); /* one reference; NULL is welcome */
const char *table_name(const struct table *table) ATTR_NONNULL;

/* value is replaced. Waits. */
enum table_status table_find(struct table *table, struct slice key,
    struct buf *value, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* True for regexp:, pcre:, cidr: ...: partial keys are not asked. */
bool table_matches_whole_keys(const struct table *table) ATTR_NONNULL;

/*
 * A parameter that names tables in order, "hash:/a, texthash:/b": the first
 * that has the key wins. An empty text is a list that finds nothing.
 */
enum result table_list_open(const char *text, const struct config *config,
    struct table_list **list, struct why *why)
    __attribute__((nonnull(1, 3, 4))) ATTR_MUST_USE;
void table_list_close(struct table_list *list);
bool table_list_empty(const struct table_list *list) ATTR_NONNULL;
enum table_status table_list_find(struct table_list *list, struct slice key,
    struct buf *value, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

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
enum result match_list_open(const char *text, enum match_kind kind,
    bool parent, const struct config *config, struct match_list **list,
    struct why *why) __attribute__((nonnull(1, 4, 5, 6))) ATTR_MUST_USE;
void match_list_close(struct match_list *list);

/* MATCH_DOMAIN, MATCH_STRING, MATCH_ADDRESS: subject. Waits. */
enum table_status match_list_find(struct match_list *list,
    struct slice subject, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* MATCH_HOST: name and address text ("[::1]" patterns, nets a/b). Waits. */
enum table_status match_list_find_host(struct match_list *list,
    struct slice name, struct slice address, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Building indexed files (postmap, postalias, newaliases): hash: and btree: in
 * Berkeley DB's format as Postfix's postmap makes them (keys and values with a
 * NUL at the end, "YP_LAST_MODIFIED"-style markers for aliases), written beside and renamed.
 */
struct table_writer;
enum result table_writer_open(struct slice type, const char *file,
    mode_t mode, struct table_writer **w, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
enum result table_writer_put(struct table_writer *w, struct slice key,
    struct slice value, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
enum result table_writer_commit(struct table_writer *w, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void table_writer_abort(struct table_writer *w);
