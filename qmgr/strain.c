#include "qmgr/strain.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "qmgr/intake.h"
#include "qmgr/mail.h"

#include <unistd.h>

enum {
    LOOK_MS = 50,    /* between two looks */
    AGAIN_MS = 1000, /* while there is a strain */
    SAY_MS = 60 * 1000,
    ROOM_FULL = 128 * 1024, /* octets on disk: less is none */
    ROOM_SLOW_PART = 8,     /* of a segment */
    SLOW_PERCENT = 90,      /* of memory */
    EASE_PERCENT = 95,      /* full until it is below that */
    /* Measured: tests/unit/qmgr_memory_test.c. */
    RCPT_OCTETS = 80, /* of an active recipient: texts, his place in bundles */
    INDEX_OCTETS = 200, /* of an entry, with the map and the heap */
    MAIL_OCTETS =
        5200, /* of an active message, with what its arenas hold ready */
};

uint64_t
strain_memory(const struct qmgr *q)
{
    return q->index.entries.count * (uint64_t)INDEX_OCTETS +
        q->index.states[ENTRY_ACTIVE] * (uint64_t)MAIL_OCTETS +
        q->active_recipients * (sizeof(struct rcpt) + RCPT_OCTETS) +
        q->held_octets;
}

/* qmgr_memory_limit; 0 is half of what the machine has. */
static uint64_t
limit(const struct qmgr *q)
{
    long pages, size;

    if (q->config->qmgr_memory_limit > 0)
        return (uint64_t)q->config->qmgr_memory_limit;
    pages = sysconf(_SC_PHYS_PAGES);
    size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages / 2 * (uint64_t)size
                                 : UINT64_MAX;
}

static bool
memory_above(const struct qmgr *q, unsigned percent)
{
    return strain_memory(q) >= limit(q) / 100 * percent;
}

bool
strain_is_full(const struct qmgr *q)
{
    return q->held_octets > ENTERING_OCTETS_MAX || memory_above(q, 100);
}

static bool
has_room(const struct qmgr *q, uint64_t octets)
{
    return q->outside->has_room(q->context, octets);
}

static enum pressure
measure(const struct qmgr *q, const char **cause)
{
    unsigned full = q->strain == PRESSURE_FULL ? EASE_PERCENT : 100;
    size_t fresh = q->index.incoming.count;

    if (strain_is_full(q) || memory_above(q, full)) {
        *cause = "qmgr_memory_limit is reached";
        return PRESSURE_FULL;
    }
    if (!has_room(q, ROOM_FULL)) {
        *cause = "the queue's disk is full";
        return PRESSURE_FULL;
    }
    if (memory_above(q, SLOW_PERCENT))
        *cause = "qmgr_memory_limit is near";
    else if (fresh > (size_t)q->config->qmgr_message_active_limit)
        *cause = "mail comes faster than it leaves";
    else if (!has_room(q,
                 (uint64_t)q->config->queue_segment_size / ROOM_SLOW_PART))
        *cause = "the queue's disk is nearly full";
    else
        return PRESSURE_NONE;
    return PRESSURE_SLOW;
}

/* Not each time that it sways. */
static void
say(struct qmgr *q, enum pressure level, const char *cause)
{
    if (level == PRESSURE_NONE || !seldom_due(&q->strain_said, SAY_MS))
        return;
    log_write(LOG_LEVEL_WARNING, q->tag, "%s: mail is %s", cause,
        level == PRESSURE_FULL ? "refused for now" : "taken slowly");
}

static void
look_again(struct qmgr *q, struct timer *t)
{
    (void)t;
    q->strain_look_ms = 0;
}

void
strain_look(struct qmgr *q)
{
    int64_t now = clock_now_ms();
    const char *cause = "";
    enum pressure level;

    q->strain_timer.fire = look_again;
    if (now < q->strain_look_ms) {
        if (q->strain_timer.node.slot == 0 && !q->stopping)
            timer_arm(q, &q->strain_timer, q->strain_look_ms);
        return;
    }
    q->strain_look_ms = now + LOOK_MS;
    level = measure(q, &cause);
    if (level != PRESSURE_NONE && !q->stopping)
        timer_arm(q, &q->strain_timer, now + AGAIN_MS);
    else
        timer_disarm(q, &q->strain_timer);
    if (level == q->strain)
        return;
    q->strain = level;
    say(q, level, cause);
    if (q->outside->pressure != NULL)
        q->outside->pressure(q->context, level);
}
