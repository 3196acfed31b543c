#include "qmgr/reserve.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "qmgr/mail.h"

enum {
    STATUS_OCTETS = 4096, /* a record in a batch of its own */
    RCPT_OCTETS = 512,    /* what it says of each recipient */
    PIECES_MOST = 4,      /* records in between that have room of their own */
    WAIT_MS = 5,          /* as long as it takes to make more room ... */
    WAIT_MOST_MS = 1000,  /* ... or until others have made some */
};

static void
look_again(struct qmgr *q, struct timer *t)
{
    /* What waits is tried in the same pump. */
    (void)q;
    (void)t;
}

/* ok: there was room. */
static bool
note(struct qmgr *q, bool ok)
{
    struct reserve *r = &q->reserve;

    if (ok && r->wait_ms > 0) {
        if (r->said)
            log_info("there is room again to record what becomes of mail");
        r->wait_ms = r->again_ms = 0;
        r->said = false;
    }
    if (ok || reserve_is_short(q))
        return ok;
    r->wait_ms = r->wait_ms == 0 ? WAIT_MS : 2 * r->wait_ms;
    if (r->wait_ms > WAIT_MOST_MS) {
        r->wait_ms = WAIT_MOST_MS;
        if (!r->said)
            log_warning("the queue's disk is full: deliveries wait for room to "
                        "record what becomes of them");
        r->said = true;
    }
    r->again_ms = clock_now_ms() + r->wait_ms;
    r->timer.fire = look_again;
    timer_arm(q, &r->timer, r->again_ms);
    return false;
}

static bool
take(struct qmgr *q, uint64_t octets)
{
    return q->outside->room_take(q->context, octets);
}

bool
reserve_take(struct qmgr *q, struct mail *m)
{
    size_t count = m->envelope.recipient_count;
    uint64_t octets = STATUS_OCTETS + RCPT_OCTETS * (uint64_t)count;

    if (!note(q, take(q, octets)))
        return false;
    m->room = octets;
    /* A recipient by himself is not settled in between. */
    for (; m->pieces < PIECES_MOST && m->pieces + 1 < count; m->pieces++) {
        if (!note(q, take(q, STATUS_OCTETS))) {
            reserve_give_all(q, m);
            return false;
        }
    }
    return true;
}

void
reserve_give_all(struct qmgr *q, struct mail *m)
{
    reserve_give(q, reserve_pass(m));
    while (m->pieces > 0)
        reserve_give(q, reserve_pass_piece(m));
}

int64_t
reserve_wait_ms(const struct qmgr *q)
{
    return q->reserve.wait_ms;
}

bool
reserve_is_short(const struct qmgr *q)
{
    return q->reserve.again_ms > clock_now_ms();
}

bool
reserve_allows(struct qmgr *q)
{
    return take(q, 0) || note(q, false);
}

uint64_t
reserve_pass(struct mail *m)
{
    uint64_t octets = m->room;

    m->room = 0;
    return octets;
}

uint64_t
reserve_pass_piece(struct mail *m)
{
    if (m->pieces == 0)
        return 0;
    m->pieces--;
    return STATUS_OCTETS;
}

void
reserve_give(struct qmgr *q, uint64_t octets)
{
    if (octets > 0)
        q->outside->room_give(q->context, octets);
}
