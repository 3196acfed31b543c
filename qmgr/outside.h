/*
 * outside - all that the core of the queue manager asks of others: of the disk,
 * of threads and of other processes.
 *
 * The core (everything beside this that is not named below) runs on one thread
 * and never waits: what takes time is asked here, and ends in a call back. The
 * daemon answers with threads and links (qmgr/committer, qmgr/links); a test
 * answers with what it wants to see.
 *
 * No function calls back from inside itself.
 */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/why.h"
#include "lib/mail/delivery.h"
#include "lib/mail/notice.h"
#include "lib/mail/pressure.h"
#include "lib/mail/route.h"
#include "lib/mail/submission.h"
#include "lib/mail/verification.h"
#include "qmgr/spool/spool.h"

#include <stdbool.h>
#include <stdint.h>

struct agent;
struct job;
struct qmgr;
struct question;

enum { TXN_RECORDS = 2 };

/* Records that become durable together, or not at all. */
struct txn {
    struct spool_txn spool; /* result and places are there when done */
    struct spool_record records[TXN_RECORDS];
    struct buf briefs[TXN_RECORDS];
    struct buf heads[TXN_RECORDS];
    bool may_wait;    /* nobody waits for it (qmgr/gather) ... */
    int64_t since_ms; /* but what it says is so since then; 0: now */
    /* Called on the loop, once, in the order of the commits. Frees t. */
    void (*done)(struct qmgr *q, struct txn *t);
    void *owner;
};

enum disk_task {
    DISK_READ,      /* place, id -> head, content */
    DISK_READ_HEAD, /* place, id -> head alone */
    DISK_LEND,      /* -> fd */
    DISK_KEEP,      /* fd, length, crc -> blob; fd stays the caller's */
    DISK_OPEN,      /* blob -> fd */
    DISK_DROP,      /* blob */
    DISK_CALL,      /* call(spool, owner): much to be read in one go */
};

/* One thing to do in the spool that may block. */
struct disk_job {
    struct list link; /* of whoever does it */
    enum disk_task task;
    struct spool_place place;
    uint64_t id;
    struct buf head, content;
    uint64_t blob;
    int fd;
    uint64_t length;
    uint32_t crc;
    void (*call)(struct spool *s, void *owner);
    enum result result;
    struct why why;
    /* Called on the loop, once. Frees j. */
    void (*done)(struct qmgr *q, struct disk_job *j);
    void *owner;
    uint64_t serial; /* the caller's */
    size_t nth;      /* the caller's */
};

struct outside {
    /* Make t durable; txn_done() comes later. */
    void (*commit)(void *context, struct txn *t);

    /* Do j; disk_job_done() comes later. */
    void (*disk)(void *context, struct disk_job *j);

    /* The most octets that t may have, about. */
    uint64_t (*txn_max)(void *context);

    /* Is there room for so much fresh mail? */
    bool (*has_room)(void *context, uint64_t octets);

    /* Set room aside for what is to be settled; give it back. */
    bool (*room_take)(void *context, uint64_t octets);
    void (*room_give)(void *context, uint64_t octets);

    /* Close what DISK_LEND or DISK_OPEN gave. */
    void (*close)(void *context, int fd);

    /* The record there is of no use any more. */
    void (*dead)(void *context, const struct spool_place *place);

    /* Ask lookup; resolve_answered() comes later. False: none is there. */
    bool (*resolve)(void *context, const struct route_question *q,
        struct question *question);

    /* Octets that are on their way to the agent: it takes them in its time. */
    size_t (*backlog)(void *context, const struct agent *agent);

    /*
     * Hand d to the agent; job_answered() or job_lost() comes later. False:
     * it is gone. Takes d->fd in any case.
     */
    bool (*deliver)(void *context, struct agent *agent, struct delivery *d,
        struct job *job);

    /* The same for bounce. */
    bool (*notify)(void *context, struct notice *n, struct job *job);

    /* What a probe found, for all processes (lib/mail/verification). */
    void (*verified)(void *context, const struct verify_result *result);
    /* It was not tried: nothing is known by it. */
    void (*unverified)(void *context, struct slice address);

    /* End a request for an id, a blob or a submission. Takes fd (or -1). */
    void (*answer)(void *context, void *request, enum message type,
        const struct queue_answer *answer, int fd);

    /* Submitters are to know how hard more mail would be. May be NULL. */
    void (*pressure)(void *context, enum pressure level);

    /* Call qmgr_pump() soon, when what comes in now has been taken in. */
    void (*wake)(void *context);
};

/* t with no records. */
struct txn *txn_new(void (*done)(struct qmgr *q, struct txn *t), void *owner);

/* One record more, and its place: brief and head are to be written. */
size_t txn_add(struct txn *t, enum record_type type, uint64_t id) ATTR_NONNULL;
void txn_commit(struct qmgr *q, struct txn *t) ATTR_NONNULL;
/* The same for records that the caller has filled in all by himself. */
void txn_send(struct qmgr *q, struct txn *t) ATTR_NONNULL;
void txn_free(struct txn *t);

struct disk_job *disk_job_new(enum disk_task task,
    void (*done)(struct qmgr *q, struct disk_job *j), void *owner);
void disk_job_free(struct disk_job *j);

/* The work itself, by the thread that blocks. */
void disk_job_work(struct spool *s, struct disk_job *j) ATTR_NONNULL;
