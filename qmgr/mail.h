/*
 * mail - one message of the active set: envelope, recipients and what
 * becomes of them.
 *
 * A message is active for one round: it is read back (qmgr/readback), each
 * recipient that is not settled is resolved (qmgr/opening) and tried, or found
 * to be undeliverable. When nothing is under way any more the round ends
 * (qmgr/round): the sender is told of failures, and what remains goes back to
 * being a small entry in the index.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/mail/delivery.h"
#include "lib/mail/envelope.h"
#include "qmgr/core.h"
#include "qmgr/record.h"

#include <stdbool.h>
#include <stdint.h>

struct accept;
struct batch;
struct lane;
struct transport;
struct msg_in;

enum rcpt_state {
    RCPT_PENDING,   /* to be tried in this round */
    RCPT_RESOLVING, /* lookup was asked for its route */
    RCPT_WAITING,   /* in a bundle, for its turn */
    RCPT_OUT,       /* with an agent, or with bounce */
    RCPT_SETTLING,  /* in a transaction of theirs */
    RCPT_DEFERRED,  /* later */
    RCPT_FAILED,    /* the sender is to be told */
    RCPT_DONE,      /* so he is, of a success, or of what a probe found */
    RCPT_SETTLED,
    RCPT_ABSENT, /* not read into memory yet in this round */
    RCPT_STATES,
};

/* What became of one or more recipients; lives in the batch's arena. */
struct note {
    struct list link; /* while a STATUS is written */
    struct rcpt_result result;
    struct rcpt *first, *last; /* likewise */
};

struct rcpt {
    struct list link; /* of a question or a bundle */
    struct mail *message;
    struct batch *batch;
    struct recipient *given; /* as it stands in the envelope */
    union {
        struct job *job;       /* OUT, SETTLING */
        struct bundle *bundle; /* WAITING */
    };
    struct note *note;
    struct rcpt *same;    /* next of the same note, while a STATUS is written */
    struct slice address; /* where it goes, after resolving */
    uint32_t index;
    uint32_t lane; /* of the destination it was queued for; 0: none */
    uint8_t state; /* changed by rcpt_set_state() alone */
    bool warned;   /* is in a notice of delay of this round */
    bool reported; /* likewise in a report, although he is not DONE */
};

struct mail {
    struct entry *entry;
    uint64_t id;
    uint64_t serial;
    struct arena arena;
    struct message_record record;
    struct envelope envelope; /* its recipients: in batches */
    struct list batches;
    size_t counts[RCPT_STATES];
    uint64_t *settled;    /* a bit for each recipient */
    uint32_t next_index;  /* of the recipient that would be read next */
    size_t next_offset;   /* in the encoded envelope */
    struct buf ahead;     /* a piece of that, with those who come next ... */
    size_t ahead_at;      /* ... from here on */
    struct buf status;    /* as it was read back: what was said before ... */
    uint32_t *said;       /* ... of each recipient, at offset + 1; or NULL */
    struct buf told;      /* groups of records with STATUS_PART */
    struct buf past;      /* groups of a STATUS: what batches left behind */
    uint32_t lane;        /* mail_lane() of those */
    bool lane_is_set;     /* there are such */
    struct list ask_link; /* q->asking: recipients to be resolved */

    struct slice header, body;
    bool has_content;
    struct msg_in *held;      /* what the texts borrow from: a submission ... */
    struct buf head, content; /* ... or records that were read back */
    size_t held_octets;       /* as counted in q->held_octets */
    struct list content_waiters; /* jobs */

    const struct transport *transport; /* of the newest recipient; or NULL */
    struct lane *admitted;             /* while it is in the active set */
    uint64_t room;   /* set aside in the spool for its last record ... */
    unsigned pieces; /* ... and for some in between (qmgr/reserve) */

    struct accept *accept; /* ENTRY_ENTERING: its transaction */
    struct list jobs;
    struct list bundles;
    struct timer gather;     /* how long these may gather recipients */
    size_t gathered_at;      /* not resolved when it was armed */
    int64_t gather_until_ms; /* at the latest */
    bool asks_freely;        /* lookup is slow for these: all are asked for */
    struct list dirty_link;  /* q->dirty */
    int64_t dirty_ms; /* since when something is in no STATUS; 0: nothing is */
    struct list check_link;  /* q->checks */
    struct list notice_link; /* q->notice_waiters */
    unsigned reading;        /* disk jobs under way */
    unsigned notices;        /* jobs of bounce under way */
    unsigned writing;        /* STATUS transactions under way */
    bool ending;             /* the last STATUS of the round is among them */
    struct timer status_due; /* a large one is not written all the time */

    int64_t active_us;
    int64_t not_before_ms; /* the first of these destinations is tried */
    uint64_t last_death;   /* serial of the agent that died with it */
    bool hold;             /* the round ends on hold */
    bool begun;            /* the round has */
    bool counted;          /* in q->probes */
    bool doomed;           /* the admin deleted it */
    bool again;            /* flushed meanwhile: another round at once */
    bool soon;             /* our own trouble: do not wait for long */
    bool overdue;          /* its lifetime is over */
    bool returned;         /* ... which the log knows */
    bool stuck;            /* the rest of its recipients cannot be read */
    bool requeued;         /* bounce was asked in this round to start anew */
    bool notified;         /* bounce was asked in this round ... */
    bool warns;            /* ... for notices of delay */
    bool reported;         /* ... for what is DONE */
    size_t suspended;      /* recipients deferred for a dead destination */
    struct edit *edit;     /* who wants to know that it is deleted */
};

/* A new one for e. */
struct mail *mail_new(struct qmgr *q, struct entry *e) ATTR_NONNULL;

/*
 * Forget it. Attempts that are under way are fenced: what they answer is of no
 * account any more.
 */
void mail_free(struct qmgr *q, struct mail *m);

/* NULL when that message is not in memory any more. */
struct mail *mail_find(struct qmgr *q, uint64_t id, uint64_t serial)
    ATTR_NONNULL;

/* So many, of none of which is known that it is settled. False: no memory. */
bool mail_count_recipients(struct mail *m, size_t count)
    ATTR_NONNULL ATTR_MUST_USE;

/*
 * m->envelope is set: make the recipients, unless they are so many that they
 * are read back in batches. False: no memory.
 */
bool mail_set_recipients(struct qmgr *q, struct mail *m)
    ATTR_NONNULL ATTR_MUST_USE;

/* Its recipients do not all come into memory at a time. */
bool mail_is_large(const struct mail *m) ATTR_NONNULL;

/* The recipients in memory; NULL at the end. */
struct rcpt *mail_first_rcpt(const struct mail *m) ATTR_NONNULL;
struct rcpt *mail_next_rcpt(const struct rcpt *r) ATTR_NONNULL;
/* NOLINTBEGIN(bugprone-macro-parentheses): it is a name that is declared. */
#define mail_foreach(r, m)                                 \
    for (struct rcpt *r = mail_first_rcpt(m); (r) != NULL; \
         (r) = mail_next_rcpt(r))
/* NOLINTEND(bugprone-macro-parentheses) */

/* So many octets of it are in memory. */
void mail_count_held(struct qmgr *q, struct mail *m, size_t octets)
    ATTR_NONNULL;

/* It comes into the active set. */
void mail_activate(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* Something changed: the round may be over. Looked at in this pump. */
void mail_touch(struct qmgr *q, struct mail *m) ATTR_NONNULL;

/* Recipients were settled: a STATUS is to be written in this pump. */
void mail_dirty(struct qmgr *q, struct mail *m) ATTR_NONNULL;

void rcpt_set_state(struct rcpt *r, enum rcpt_state state) ATTR_NONNULL;

/* What r waits for is forgotten: PENDING again. r is not with an agent. */
void rcpt_withdraw(struct qmgr *q, struct rcpt *r) ATTR_NONNULL;

/* Copies the texts of result. NULL: no memory. */
struct note *note_new(struct batch *b, const struct rcpt_result *result)
    ATTR_NONNULL;

/* It reached r: SETTLED, or DONE if the sender wants to know. */
void rcpt_sent(struct qmgr *q, struct rcpt *r, const struct rcpt_result *result)
    ATTR_NONNULL;

/* DEFERRED or FAILED, as result says; of a probe DONE. r->job is forgotten. */
void rcpt_conclude(struct qmgr *q, struct rcpt *r,
    const struct rcpt_result *result) ATTR_NONNULL;

/*
 * As agents and bounce are told of it: where it goes, and its original address,
 * which enable_original_recipient = no hides where the sender did not say it
 * (ORCPT).
 */
struct recipient rcpt_told(const struct qmgr *q, const struct rcpt *r)
    ATTR_NONNULL;

static inline struct recipient *
rcpt_given(const struct rcpt *r)
{
    return r->given;
}

/* A probe of smtpd's, not one that a user asked for with sendmail -bv. */
static inline bool
mail_is_own_probe(const struct mail *m)
{
    return (m->envelope.flags & ENVELOPE_PROBE) != 0 &&
        envelope_is_probe(&m->envelope);
}

/* How many recipients are under way in one way or another. */
static inline size_t
mail_busy(const struct mail *m)
{
    return m->counts[RCPT_PENDING] + m->counts[RCPT_RESOLVING] +
        m->counts[RCPT_WAITING] + m->counts[RCPT_OUT] +
        m->counts[RCPT_SETTLING];
}

static inline bool
mail_is_settled(const struct mail *m, uint32_t index)
{
    return (m->settled[index / 64] >> index % 64 & 1) != 0;
}

static inline void
mail_note_settled(struct mail *m, uint32_t index)
{
    m->settled[index / 64] |= (uint64_t)1 << index % 64;
}

/* entry.lane of what is left of m. */
uint32_t mail_lane(const struct mail *m) ATTR_NONNULL;

static inline size_t
mail_unsettled(const struct mail *m)
{
    return m->envelope.recipient_count - m->counts[RCPT_SETTLED];
}
