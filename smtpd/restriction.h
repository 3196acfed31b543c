/*
 * restriction - who may do what: smtpd_client_restrictions and its kin,
 * restriction classes, what access tables name, local_header_rewrite_clients.
 *
 * restrictions[] (checks.c) declares each restriction once: name, what it
 * takes, what it does. A list is parsed when the configuration is read, and a
 * name that is not declared stops the start: to ignore it would let in what its
 * admin wanted out. Lists that access tables name are parsed when they are
 * found. evaluation.h has how a list is asked.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/config/config.h"
#include "lib/dns/dns_list.h"
#include "lib/table/table.h"

#include <stdbool.h>
#include <stddef.h>

struct evaluation;
struct policy;

enum stage {
    STAGE_CLIENT,
    STAGE_HELO,
    STAGE_SENDER,
    STAGE_RELAY,
    STAGE_RECIPIENT,
    STAGE_DATA,
    STAGE_END_OF_DATA,
    STAGE_ETRN,
    STAGE_REWRITE, /* local_header_rewrite_clients: who gets missing headers */
    STAGE_COUNT,
};

enum verdict {
    VERDICT_NONE,    /* ask the next */
    VERDICT_PERMIT,  /* this list is done */
    VERDICT_REFUSED, /* the refusal is set */
};

enum restriction_argument {
    ARGUMENT_NONE,
    ARGUMENT_NUMBER,
    ARGUMENT_CHECK, /* the check behind it belongs to it */
    ARGUMENT_TABLE,
    ARGUMENT_DNS_LIST,
    ARGUMENT_POLICY,
};

enum restriction_flag {
    /* Makes a list safe against relaying for all the world. */
    RESTRICTION_GUARDS_RELAY = 1 << 0,
    /* May stand in local_header_rewrite_clients. */
    RESTRICTION_FOR_REWRITE = 1 << 1,
    /*
     * What others can arrange (an address in DNS, a name without proof) must
     * not open a door: OK in the table is an error of configuration.
     */
    RESTRICTION_NO_PERMIT = 1 << 2,
    /* Has a newer name, which is to be used. */
    RESTRICTION_OLD = 1 << 3,
};

struct check;
struct restriction {
    const char *name;
    enum verdict (*run)(struct evaluation *e, const struct check *c);
    enum restriction_argument argument;
    unsigned flags; /* set of enum restriction_flag */
    /* ARGUMENT_DNS_LIST: the name to ask for. False: there is none. */
    bool (*question)(const struct evaluation *e, const struct check *c,
        struct buf *name);
};

extern const struct restriction restrictions[]; /* name NULL at the end */

struct check_list {
    struct check *checks;
    size_t count;
};

/* A parameter that smtpd_restriction_classes names. */
struct restriction_class {
    char *name;
    struct check_list list;
};

struct restriction_classes {
    struct restriction_class *classes;
    size_t count;
};

/* A restriction in a list. */
struct check {
    const struct restriction *what;
    unsigned number;       /* ARGUMENT_NUMBER */
    char *text;            /* the argument as written, or NULL */
    struct table *table;   /* ARGUMENT_TABLE */
    struct dns_list list;  /* ARGUMENT_DNS_LIST */
    struct policy *policy; /* ARGUMENT_POLICY */
    const struct restriction_class *class; /* what is a class */
};

/* What words of a list may mean. */
struct restriction_scope {
    const struct config *config;
    const struct restriction_classes *classes;
    /*
     * The words stand in an access table. Who may write there, a customer in a
     * database for one, must not have us open files or connect to hosts: tables
     * are those that the configuration names, servers stand in classes.
     */
    bool in_table;
};

/* As in main.cf. A class may name another; the last one frees. */
enum result restriction_classes_parse(const struct config *config,
    struct restriction_classes *classes, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
void restriction_classes_free(struct restriction_classes *classes) ATTR_NONNULL;

/*
 * Parse a parameter's value, or what stands in an access table. *list is freed
 * with check_list_free(), also after a failure. unknown, which may be NULL, is
 * set when the reason is a name that is no restriction, and borrows from text.
 */
enum result check_list_parse(const struct restriction_scope *scope,
    enum stage stage, struct slice text, struct check_list *list,
    struct slice *unknown, struct why *why) __attribute__((nonnull(1, 4, 6)))
ATTR_MUST_USE;
void check_list_free(struct check_list *list) ATTR_NONNULL;

bool check_list_guards_relay(const struct check_list *list) ATTR_NONNULL;
