/*
 * screen_private - what the files of smtpd/screen have in common.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/dns/dns_list.h"
#include "lib/mail/delivery_log.h"
#include "lib/table/table.h"
#include "smtpd/refusal.h"
#include "smtpd/screen.h"
#include "smtpd/session.h"

#include <stdint.h>

/* In the order of the remembered text. */
enum screen_test {
    TEST_PREGREET,
    TEST_DNSBL,
    TEST_PIPELINING,
    TEST_NON_SMTP,
    TEST_BARE_NEWLINE,
    TESTS,
};

enum {
    TESTS_AFTER = 1 << TEST_PIPELINING | 1 << TEST_NON_SMTP |
        1 << TEST_BARE_NEWLINE,
};

enum screen_action { ACTION_IGNORE, ACTION_ENFORCE, ACTION_DROP };

/* One element of postscreen_access_list. */
struct screen_rule {
    enum { RULE_PERMIT, RULE_REJECT, RULE_DUNNO, RULE_NETWORKS, RULE_TABLE } is;
    struct table *table;
};

/* One element of postscreen_dnsbl_sites: "list=127.0.0.[2..11]*3". */
struct screen_site {
    struct dns_list list; /* borrows from the configuration */
    int weight;
    size_t domain; /* which of the domains: each is asked once */
};

struct screen {
    const struct config *config;
    const struct profile *next;
    const char *tag;                     /* "postfix/postscreen" */
    const char *tag_dns;                 /* "postfix/dnsblog" */
    struct match_list *forbidden_tables; /* the profile's; NULL: none */
    unsigned enabled;                    /* set of tests */
    enum screen_action denylisted; /* what a client on the deny list gets */
    enum screen_action actions[TESTS];
    struct screen_rule *rules;
    size_t rule_count;
    struct match_list *networks;   /* mynetworks */
    struct match_list *interfaces; /* where one gets onto the allow list */
    struct table_list *reply_names;
    struct screen_site *sites;
    size_t site_count;
    struct slice *domains;
    size_t domain_count;
};

struct score;

/* A client under test. */
struct screening {
    const struct screen *screen;
    bool known;             /* there is a record of it */
    unsigned todo;          /* sets of tests */
    unsigned passed;        /* in this session */
    unsigned failed;        /* whatever is done about it */
    int64_t until_s[TESTS]; /* to when passing it counts; 0: never passed */
    struct refusal no;      /* of RCPT; code 0: none */
    struct score *score;
    int64_t begun_ms;  /* of the present phase */
    const char *after; /* the last command, for the log */
};

/* The time since the phase began, as the log has it. */
const char *screen_elapsed(const struct screening *sc,
    char text[static DELAY_TEXT_SIZE]) ATTR_NONNULL;

/* What was received, for the log: C's escapes, cut. Into *to. */
enum { SCREEN_SHOWN_MAX = 100 };
void screen_escape(struct slice in, struct buf *to) ATTR_NONNULL;

/* What all refusals do: remember the first one, or say it now. */
bool screen_fail(struct session *s, enum screen_action action, int drop_code,
    const char *status, const char *text) ATTR_NONNULL;

/* The log's line of what is refused to whoever is not let through. */
void screen_log_refusal(const struct session *s, const struct refusal *no,
    struct slice sender, struct slice recipient) ATTR_NONNULL;

/* "HANGUP after t from [a]:p in tests before SMTP handshake" */
void screen_log_hangup(const struct session *s) ATTR_NONNULL;

/* What was said to who may not listen goes out, or not. Waits. */
void screen_farewell(struct session *s) ATTR_NONNULL;

/* screen_access.c: what postscreen_access_list says of the client. Waits. */
enum standing { STANDING_NONE, STANDING_PERMITTED, STANDING_DENIED };
enum standing screen_standing(const struct session *s) ATTR_NONNULL;

/*
 * screen_before.c: the tests before the greeting, with the dialogue that they
 * take. False: it is over. Waits.
 */
bool screen_test_before(struct session *s) ATTR_NONNULL;

/* screen_memory.c: what is known of the client. Waits. */
void screen_recall(struct session *s) ATTR_NONNULL;
/* The test was passed, and that counts for so long. */
void screen_pass(struct screening *sc, enum screen_test test, int64_t ttl_ms)
    ATTR_NONNULL;
/* What was passed, if anything. */
void screen_remember(const struct session *s) ATTR_NONNULL;
/* The text of a record. */
bool screen_record_parse(struct slice text, int64_t until_s[TESTS])
    ATTR_NONNULL ATTR_MUST_USE;

/* screen_score.c: lists in DNS. */
struct score *score_begin(const struct session *s, const struct screen *screen)
    ATTR_NONNULL;
bool score_done(const struct score *score) ATTR_NONNULL;
enum wait_result score_wait(struct score *score, int64_t deadline_ms)
    ATTR_NONNULL;
/* By what is known so far. */
int score_rank(const struct score *score) ATTR_NONNULL;
/* The name of the list that weighs most. */
struct slice score_worst(const struct score *score) ATTR_NONNULL;
/* How long the result counts. */
int64_t score_ttl_ms(const struct score *score) ATTR_NONNULL;
void score_leave(struct score *score); /* NULL is welcome */

/* screen_deep.c: the tests after the greeting. True: go on. */
enum screen_answer screen_look(struct session *s, enum verb verb,
    struct slice line) ATTR_NONNULL;

/* screen_dialogue.c: with who is not let through. Waits. */
void screen_refuse_all(struct session *s) ATTR_NONNULL;
