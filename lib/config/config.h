/*
 * config - main.cf and master.cf, parsed once into a snapshot.
 *
 * A snapshot (struct config_set) is what one start or reload read: the
 * parameters of main.cf and the services of master.cf, each service with the
 * full set of parameters under its own "-o" overrides. It never changes; a
 * reload makes another one, and the old one lives until its last user lets go
 * of it. master reads the files and hands the snapshot to its children as
 * octets, so that all processes agree.
 *
 * Which overrides a folded service obeys: code that does what Postfix's cleanup
 * does takes the const struct config of the cleanup service line
 * (config_find_service(set, config->cleanup_service_name, ...)), not that of
 * the smtpd line, and likewise for pickup, rewrite, qmgr, bounce, ...
 *
 * Parameters are declared once, in lib/config/parameters.def. struct config has
 * a field for each, named exactly like it:
 *     strings     const char *, expanded, never NULL
 *     booleans    bool
 *     numbers     int64_t
 *     times       int64_t in milliseconds; NAME_ms would break grep, so the unit
 *                 is said here once: every time parameter is in milliseconds
 *     sizes       int64_t octets
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/parameters.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_set;

/*
 * One line of master.cf. Where program is "lmtp", the smtp_ fields of config
 * hold what the lmtp_ parameters say (smtp_helo_name: lmtp_lhlo_name), so that
 * the client reads the same fields in both. Where it is "postscreen", the smtpd_
 * fields hold what the postscreen_ parameters of that name say.
 */
struct service {
    const char *name;    /* "smtp", "127.0.0.1:2525", "slow" */
    const char *type;    /* "inet", "unix", "fifo", "unix-dgram", "pass" */
    const char *program; /* "smtpd": last part of the command */
    bool private, unpriv, chroot;
    int64_t wakeup;          /* milliseconds, 0: never */
    bool wakeup_if_used;     /* "1000?" */
    int64_t maxproc;         /* 0: no limit; default_process_limit filled in */
    const char *const *argv; /* program, then what follows the options; NULL */
    unsigned verbose;        /* how many -v */
    const char *log_tag;     /* "postfix/smtpd" from syslog_name and program */
    const struct config *config;   /* main.cf under this line's overrides */
    const struct config *stressed; /* with stress=yes besides; servers only */
    unsigned index;                /* place in master.cf, from 0 */
};

/* Each complaint of one load: severity, "file, line N: text". */
enum config_severity { CONFIG_WARNING, CONFIG_ERROR };
typedef void (*config_report_fn)(void *context, enum config_severity severity,
    const char *text);

/*
 * $MAIL_CONFIG, else /etc/postern: for commands without -c. In a set-gid
 * command the environment does not count.
 */
const char *config_default_directory(void);

/*
 * Read main.cf and master.cf in dir (NULL: config_default_directory()). Every
 * complaint is reported; RESULT_OK when none was an error: then *set has one
 * reference. report may be NULL.
 */
enum result config_load(const char *dir, config_report_fn report, void *context,
    struct config_set **set, struct why *why) ATTR_MUST_USE;

/* The same from and to octets, for master's children. */
void config_encode(const struct config_set *set, struct buf *to) ATTR_NONNULL;
enum result config_decode(struct slice octets, struct config_set **set,
    struct why *why) ATTR_NONNULL ATTR_MUST_USE;

/* Main.cf alone, for commands that need no services; defaults if no file. */
enum result config_load_main(const char *dir, config_report_fn report,
    void *context, struct config_set **set, struct why *why) ATTR_MUST_USE;

/* References; the last config_drop() frees. One thread. drop takes NULL. */
struct config_set *config_hold(struct config_set *set) ATTR_NONNULL;
void config_drop(struct config_set *set);

const struct config *config_main(const struct config_set *set) ATTR_NONNULL;
const char *config_directory(const struct config_set *set) ATTR_NONNULL;

size_t config_service_count(const struct config_set *set) ATTR_NONNULL;
const struct service *config_service(const struct config_set *set, size_t i)
    ATTR_NONNULL;

/* type NULL: any. NULL when there is none. */
const struct service *config_find_service(const struct config_set *set,
    const char *name, const char *type) __attribute__((nonnull(1, 2)));

/*
 * The parameters that a folded program obeys: of the service with that name
 * and any type, or main.cf's where master.cf has no such line. Never NULL.
 */
const struct config *config_of_service(const struct config_set *set,
    const char *name) ATTR_NONNULL;
/* Likewise its tag: "postfix/cleanup". program is used where no line is. */
const char *config_tag_of_service(const struct config_set *set,
    const char *name, const char *program) ATTR_NONNULL;

/*
 * Parameters whose names are made from a transport's, such as
 * slow_destination_rate_delay: the value of PREFIX_SUFFIX where main.cf sets
 * it, else fallback. Times are milliseconds, fractions of a second allowed.
 */
int64_t config_transport_number(const struct config_set *set,
    const char *transport, const char *suffix, int64_t fallback) ATTR_NONNULL;
int64_t config_transport_time(const struct config_set *set,
    const char *transport, const char *suffix, int64_t fallback) ATTR_NONNULL;
const char *config_transport_text(const struct config_set *set,
    const char *transport, const char *suffix, const char *fallback)
    ATTR_NONNULL;

/*
 * The value of any parameter, user-defined ones included, expanded, under the
 * overrides of config (restriction classes, for example). NULL when not set.
 */
const char *config_get(const struct config *config, const char *name)
    ATTR_NONNULL;

/*
 * Each text as main.cf and each line of master.cf has it, expanded, defaults
 * and names of the admin's own included: for what looks for the tables that are
 * named somewhere. The same text may come several times.
 */
struct config_text {
    const char *name, *text;
    const char *program;         /* of the line; NULL: main.cf itself */
    const struct config *config; /* under which it reads so */
};
void config_each_text(const struct config_set *set,
    void (*fn)(void *context, const struct config_text *text), void *context)
    __attribute__((nonnull(1, 2)));

/*
 * Whether a program of Postfix ("cleanup") obeys the parameter of that name.
 * Names of the admin's own are nobody's.
 */
bool config_obeys(const char *program, const char *name) ATTR_NONNULL;

/*
 * Expand $name, ${name}, ${name?text}, ${name:text}, ${name?{a}:{b}} and
 * comparisons in text with values from lookup; as postconf(5) has it.
 */
typedef const char *(*config_lookup_fn)(void *context, struct slice name);
enum result config_expand(struct slice text, config_lookup_fn lookup,
    void *context, struct buf *to, struct why *why)
    __attribute__((nonnull(2, 4, 5))) ATTR_MUST_USE;

/*
 * The same, but the values that lookup gives are put in as they are, not
 * expanded in turn: for what RAW parameters (forward_path, mailbox_command,
 * luser_relay, default_rbl_reply ...) and pipe(8) commands get at use, where
 * values come from mail and may hold a "$".
 */
enum result config_expand_once(struct slice text, config_lookup_fn lookup,
    void *context, struct buf *to, struct why *why)
    __attribute__((nonnull(2, 4, 5))) ATTR_MUST_USE;

/* A time such as "300s", "5d", "1.5s"; unit is that of a bare number. */
bool config_parse_time(struct slice text, char unit, int64_t *ms)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * Lists of main.cf: elements separated by blanks and commas, "{ ... }" kept
 * together, also within an element ("inline:{ a=b, c=d }"). False at the end.
 */
bool config_list_next(struct slice *rest, struct slice *element) ATTR_NONNULL;

/* "{ text }" without its braces and the blanks inside; else unchanged. */
struct slice config_unbrace(struct slice element);

/* Test and tool support: a set made of name=value lines, no services. */
enum result config_from_text(const char *main_cf, const char *master_cf,
    struct config_set **set, struct why *why) ATTR_MUST_USE;
