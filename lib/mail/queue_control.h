/*
 * queue_control - what postqueue, postsuper and postcat say to the queue
 * manager: at its socket public/qmgr while it runs, else to a qmgr --offline
 * of their own.
 *
 * Both ends of the messages QUEUE_LIST, QUEUE_EDIT, QUEUE_FLUSH, QUEUE_CAT,
 * QUEUE_DESTINATIONS, QUEUE_ITEM and QUEUE_DONE are here. What the commands do
 * blocks.
 */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/attr.h"
#include "lib/base/buf.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"
#include "lib/ipc/link.h"
#include "lib/mail/queue_filter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_set;

/* Queues, in the order in which they are listed. */
enum queue_name {
    QUEUE_ACTIVE,
    QUEUE_INCOMING,
    QUEUE_DEFERRED,
    QUEUE_HOLD,
    QUEUE_CORRUPT,
    QUEUE_NAMES,
};
enum { QUEUE_ALL = (1 << QUEUE_NAMES) - 1 }; /* of sets of 1 << queue_name */

const char *queue_name_text(enum queue_name name);
bool queue_name_parse(struct slice text, enum queue_name *name)
    ATTR_NONNULL ATTR_MUST_USE;

/* One message of a listing. */
struct queue_recipient {
    struct slice address;
    struct slice reason; /* of its delay; may be empty */
};
struct queue_item {
    enum queue_name queue;
    uint64_t id;
    int64_t arrival_us;
    uint64_t size;
    bool forced_expire;
    int64_t next_try_ms; /* deferred: since 1970; else 0 */
    struct slice sender;
    struct queue_recipient *recipients;
    size_t recipient_count;
};
void queue_item_encode(const struct queue_item *item, struct msg *m)
    ATTR_NONNULL;
enum result queue_item_decode(struct slice in, struct arena *arena,
    struct queue_item *item, struct why *why) ATTR_NONNULL ATTR_MUST_USE;

enum queue_task { /* as postsuper's options */
    QUEUE_TASK_DELETE = 1,
    QUEUE_TASK_HOLD,
    QUEUE_TASK_RELEASE,
    QUEUE_TASK_REQUEUE,
    QUEUE_TASK_EXPIRE,
    QUEUE_TASK_EXPIRE_NOW, /* but what is on hold stays there */
};
enum queue_flush { QUEUE_FLUSH_ALL, QUEUE_FLUSH_ID, QUEUE_FLUSH_SITE };

enum { QUEUE_EDIT_IDS = 2000 }; /* in one request */

enum queue_request_flag {
    QUEUE_DRY_RUN = 1 << 0,   /* EDIT: name what would be done, do nothing */
    QUEUE_NAME_EACH = 1 << 1, /* EDIT: an item for each message, not only the
                                 count */
};

/* What a command asks; which fields count depends on the message. */
struct queue_request {
    unsigned queues; /* LIST, EDIT */
    uint32_t task;   /* EDIT: enum queue_task; FLUSH: queue_flush */
    uint64_t ids[QUEUE_EDIT_IDS]; /* EDIT; FLUSH, CAT: the first */
    size_t id_count;              /* EDIT: 0 means all */
    uint32_t flags;               /* set of enum queue_request_flag */
    struct slice site;            /* FLUSH; DESTINATIONS: empty means all */
    struct queue_filter filter;   /* LIST, EDIT */
};
void queue_request_encode(const struct queue_request *r, struct msg *m)
    ATTR_NONNULL;
bool queue_request_decode(struct slice in, struct queue_request *r)
    ATTR_NONNULL ATTR_MUST_USE;

/* A destination, as the scheduler sees it. */
struct queue_destination {
    struct slice transport, nexthop;
    struct slice recipient; /* of a destination for each recipient, or empty */
    struct slice health;    /* "live", "dead", "probed"; "" if unknown */
    struct slice hold;      /* why nothing more is started, or empty */
    uint64_t window, window_limit; /* deliveries at a time; limit 0: none */
    uint64_t running, idle_sessions;
    uint64_t waiting_messages, waiting_recipients; /* active */
    uint64_t deferred;                             /* messages */
    int64_t rate_delay_ms;
    int64_t next_try_ms;         /* of the destination, since 1970; 0: now */
    int64_t next_due_ms;         /* of its deferred mail; 0: there is none */
    uint64_t failures;           /* deaths in succession */
    struct slice status, reason; /* of the last one */
    bool is_route; /* asked for by name: this is where it is routed */
};
void queue_destination_encode(const struct queue_destination *d, struct msg *m)
    ATTR_NONNULL;
bool queue_destination_decode(struct slice in, struct queue_destination *d)
    ATTR_NONNULL ATTR_MUST_USE;

/* The end of an answer. */
struct queue_done {
    enum result result;
    uint64_t count;
    struct why why;
};
void queue_done_encode(const struct queue_done *d, struct msg *m) ATTR_NONNULL;
bool queue_done_decode(struct slice in, struct queue_done *d)
    ATTR_NONNULL ATTR_MUST_USE;

/* The command's end. */

/*
 * Reach the queue manager. RESULT_TEMPFAIL: the mail system is down, and the
 * caller may not read the queue itself, or somebody else is doing so.
 */
enum queue_reach { QUEUE_RUNNING, QUEUE_OFFLINE };
enum result queue_control_open(const struct config_set *set,
    enum queue_reach *reach, int *fd, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;

/* Ends a qmgr --offline too, and waits for it. */
void queue_control_close(int fd);

/*
 * Send m (emptied), have item() called for each QUEUE_ITEM until it says false,
 * and return what the QUEUE_DONE says. item may be NULL.
 */
typedef bool (*queue_item_fn)(void *context, struct slice item);
enum result queue_control_ask(int fd, struct msg *m, queue_item_fn item,
    void *context, struct queue_done *done, struct why *why)
    __attribute__((nonnull(2, 5, 6))) ATTR_MUST_USE;

/* For who cannot wait as long as a command does. */
enum result queue_control_ask_until(int fd, struct msg *m, int64_t deadline_ms,
    queue_item_fn item, void *context, struct queue_done *done, struct why *why)
    __attribute__((nonnull(2, 6, 7))) ATTR_MUST_USE;
