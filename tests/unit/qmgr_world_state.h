/*
 * qmgr_world_state - what gathers in a world of the queue manager, for the test
 * to look at: durable records, transactions and disk jobs, questions to lookup,
 * deliveries and notices that somebody has, and what submitters were told.
 */
#pragma once

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/route.h"
#include "qmgr/core.h"
#include "qmgr/gather.h"
#include "qmgr/record.h"
#include "tests/crash/disk_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORLD_FN __attribute__((unused)) static

enum { WORLD_RCPTS = 64, WORLD_TEXT = 128 };

/* A record that is durable. */
struct stored {
    struct list link; /* in the order of the log */
    enum record_type type;
    uint64_t id, blob;
    char *brief, *head, *content;
    size_t brief_len, head_len, content_len;
    struct spool_place place;
    bool dead;
    unsigned moves; /* by the cleaner */
};

/* A delivery or a notice that somebody has. */
struct errand {
    struct list link;
    struct job *job;
    bool is_notice;
    enum notice_kind kind;
    struct attempt attempt;
    uint64_t proof;
    void *agent;
    char transport[WORLD_TEXT], nexthop[WORLD_TEXT];
    size_t count;
    uint32_t *indexes;
    char (*addresses)[WORLD_TEXT];
    struct rcpt_result *results; /* of a notice; without their texts */
    bool *stays;                 /* likewise */
    size_t body_len;
    bool is_damaged; /* of a notice: no content */
};

/* A question that lookup has not answered. */
struct asked {
    struct list link;
    struct question *question;
    char recipient[WORLD_TEXT];
};

struct world {
    struct qmgr q;
    struct config_set *set;
    struct list log;         /* struct stored */
    struct list txns;        /* not durable yet */
    struct gather gathered;  /* before that, with a settle delay */
    int64_t settle_delay_ms; /* 0: none, all goes at once */
    struct list disk;
    struct list errands;
    struct list asked;
    uint32_t offset;
    bool frozen;     /* the power is cut: nothing becomes durable */
    bool disk_fails; /* transactions fail */
    bool content_is_damaged;
    bool txn_failed; /* one did, since somebody set this to false */
    bool no_lookup, no_bounce;
    bool lookup_waits;         /* for world_step_route() */
    bool no_reserve;           /* nothing can be set aside */
    char verified[WORLD_TEXT]; /* "ADDRESS=RESULT:TEXT;", all */
    unsigned verified_count;
    enum route_use route_use; /* of the last question to lookup */
    uint64_t no_room;         /* for so many octets and more; 0: there is */
    enum pressure pressure;   /* as submitters were told last */
    unsigned pressures;       /* how often */
    uint16_t place;           /* of who submits; 0: 1 */
    unsigned blobs, blobs_refused;
    uint64_t next_id; /* leased */
    uint64_t lease_count;
    unsigned answered_ok, answered_temp, answered_perm;
    char last_text[600];
    struct disk_sim *sim; /* NULL: the disk is the list above */
    struct spool *spool;
    uint64_t segment_size;
    /* What lookup says; default: transport smtp, nexthop the domain. */
    enum result (*route)(struct world *w, struct slice recipient,
        struct route *route, struct why *why);
    void *context; /* the test's */
    /* Called before something is read; NULL: nothing. */
    void (*before_read)(struct world *w, const struct disk_job *j);
    /* Called when all is found and nothing of it is begun; NULL: nothing. */
    void (*before_begin)(struct world *w);
};

WORLD_FN size_t
world_count(const struct list *head)
{
    size_t n = 0;

    list_foreach (it, head)
        n++;
    return n;
}

WORLD_FN void
world_no_log(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    (void)line;
}
