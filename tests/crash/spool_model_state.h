/*
 * spool_model_state - what spool_model.c (the script) and spool_oracle.c (was it
 * as promised?) share.
 */
#pragma once

#include "tests/crash/spool_model.h"

enum {
    STEP_MS = 100,
    BATCH_TXNS = 6,
    GHOSTS_MAX = 200,
    TEXT_MAX = 3000,
    RECORDS_MAX = 2
};

enum msg_state { MSG_NEW, MSG_LIVE, MSG_GONE };

struct msg {
    uint64_t id;
    enum msg_state state;
    unsigned content_len;
    uint64_t blob;
    unsigned status; /* number of the newest STATUS; 0: none */
    bool busy;       /* in the batch that is built */
    struct spool_place place, content, status_place;
};

enum act { ACT_ACCEPT, ACT_STATUS, ACT_REMOVE, ACT_NOTICE, ACT_META };

/* One transaction, as the model thinks of it. */
struct deed {
    enum act act;
    bool done;    /* what it did is in the messages */
    size_t msg;   /* accepted, or changed */
    size_t other; /* ACT_NOTICE: whose status is set besides */
    uint64_t meta;
    struct spool_txn txn;
    struct spool_record records[RECORDS_MAX];
    char *head[RECORDS_MAX], *content, *brief;
};

struct model {
    struct model_options options;
    uint64_t rng;
    struct disk_sim *disk;
    struct spool *spool;
    struct msg *msgs;
    size_t msg_count, live_count;
    uint64_t meta;
    struct spool_place meta_place;
    struct deed deeds[BATCH_TXNS]; /* under way */
    size_t deed_count;
    struct deed ghosts[GHOSTS_MAX]; /* failed, nothing succeeded since */
    size_t ghost_count;
    struct model_counts counts;
};

/* What one start finds. */
struct seen {
    const struct model *model;
    bool running; /* the model's own start: places are taken over */
    struct msg_seen {
        unsigned messages, contents;
        unsigned status; /* the last one */
        unsigned statuses;
        struct spool_place place, content, status_place;
        uint64_t blob;
        bool parted;
    } * msgs;
    uint64_t meta;
    struct spool_place meta_place;
    unsigned damage;
    char first_damage[300];
    char *wrong; /* the first thing that was not as promised */
};

uint64_t model_id(size_t msg);

/* Octets that only this message has; the caller frees them. */
char *model_content(const struct msg *msg);
char *model_head(const struct msg *msg);
char *model_status(const struct msg *msg, unsigned n);
/* The nth change of a message: a STATUS, a HOLD or a REPLACE. */
enum record_type model_change_type(const struct msg *msg, unsigned n);
char *model_brief(const struct msg *msg); /* NULL: it has none */

/* Of those under way and those that failed, the ith; NULL: no more. */
const struct deed *model_open_deed(const struct model *m, size_t i);

enum result model_open(const struct model *m, struct disk_sim *disk,
    struct seen *seen, struct spool **spool, struct why *why);

void seen_init(struct seen *s, const struct model *m);
void seen_fini(struct seen *s);

/* Note the first thing that is not as promised; seen_must() fails on it. */
void seen_check_octets(struct seen *s, struct spool *spool,
    const struct msg *msg, const struct msg_seen *ms);
void seen_check_blob(struct seen *s, struct spool *spool, struct disk *disk,
    const struct msg *msg);
void seen_check(struct seen *s, struct spool *spool, struct disk_sim *disk);
void seen_must(struct seen *s, const char *when);
