/*
 * link_private - what the files of a link share: link.c reads, writes and ends
 * it, calls.c keeps our requests, requests.c the peer's.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/io/fiber.h"
#include "lib/ipc/inbox.h"
#include "lib/ipc/link.h"
#include "lib/ipc/outbox.h"

/*
 * How a link ends. Whatever finds it broken (a write that fails, a rule that
 * the peer breaks, a backlog) only marks it and wakes the reader; the reader
 * fiber alone ends it, so that on_gone never comes in the middle of a caller's
 * own call. link_close() does the same at once and without on_gone. The memory
 * goes with the last fiber that uses it.
 */
struct link {
    int fd;
    struct io_wait wait;
    struct link_options options;
    char *peer_name;
    const struct link_handler *handlers[MESSAGE_COUNT];
    struct inbox in;
    struct outbox out;
    struct sched_hook hook;

    struct map calls; /* struct call: of ours, not yet answered */
    uint32_t last_number;
    struct fiber_timer
        overdue;          /* not later than the first of their deadlines */
    struct list unsent;   /* struct unsent: could not be asked */
    struct fiber *failer; /* tells those who asked */

    struct list served;  /* struct served: of the peer, not yet ended */
    struct list waiting; /* some of these: for a fiber */
    size_t served_count, served_octets;
    unsigned fibers;

    struct fiber_cond room;   /* the backlog fell */
    struct fiber_cond resume; /* a request was ended */
    struct fiber *reader, *writer;
    bool broken; /* the reader is to end it */
    bool deaf;   /* the peer takes nothing any more */
    bool ended;
    unsigned io_users; /* reader and writer: the last closes fd */
    unsigned users;    /* fibers and calls that hold the memory */
};

/* The memory stays while somebody holds it. */
void link_ref(struct link *l) ATTR_NONNULL;
void link_unref(struct link *l) ATTR_NONNULL;

/* Have the reader end it; with a line in the log that names message and rule. */
void link_break_with(struct link *l, uint32_t type, const char *rule)
    ATTR_NONNULL;

/* Neither broken nor ended. */
bool link_is_up(const struct link *l) ATTR_NONNULL;

bool link_has_room(const struct link *l) ATTR_NONNULL;
enum link_status link_status_of_wait(enum wait_result wait);

/* m is emptied. False when it cannot be sent and the link is or will be gone. */
bool link_send_out(struct link *l, struct msg *m, uint32_t number) ATTR_NONNULL;

/* Messages that came; they own m. */
void link_take_answer(struct link *l, struct msg_in *m) ATTR_NONNULL;
void link_take_request(struct link *l, struct msg_in *m) ATTR_NONNULL;

void calls_init(struct link *l) ATTR_NONNULL;

/* The end: our calls learn it, the peer's requests lose their way back. */
void link_fail_calls(struct link *l) ATTR_NONNULL;
void link_orphan_requests(struct link *l) ATTR_NONNULL;
