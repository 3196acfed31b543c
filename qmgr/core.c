#include "qmgr/core.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "qmgr/adopted.h"
#include "qmgr/destination.h"
#include "qmgr/dispatch.h"
#include "qmgr/intake.h"
#include "qmgr/lane.h"
#include "qmgr/lease.h"
#include "qmgr/ledger.h"
#include "qmgr/lend.h"
#include "qmgr/opening.h"
#include "qmgr/resolve.h"
#include "qmgr/round.h"
#include "qmgr/strain.h"
#include "qmgr/transport.h"

/* How long a stop tries to write what the disk does not take. */
enum { STOP_TRIES_MS = 3000 };

int64_t
qmgr_wall_ms(void)
{
    return clock_wall_us() / 1000;
}

void
qmgr_init(struct qmgr *q, const struct outside *outside, void *context,
    struct config_set *set)
{
    *q = (struct qmgr){ .outside = outside, .context = context };
    index_init(&q->index);
    list_init(&q->lease_waiters);
    list_init(&q->dirty);
    list_init(&q->checks);
    list_init(&q->asking);
    list_init(&q->lanes_parked);
    list_init(&q->writes);
    list_init(&q->unasked);
    list_init(&q->answers_used);
    list_init(&q->ready);
    list_init(&q->agents);
    list_init(&q->fallen);
    late_init(q);
    list_init(&q->notice_waiters);
    lend_init(q);
    intake_init(q);
    adopted_init(q);
    qmgr_configure(q, set);
}

void
qmgr_configure(struct qmgr *q, struct config_set *set)
{
    struct config_set *old = q->set;

    q->set = config_hold(set);
    q->config = config_of_service(set, "qmgr");
    q->tag = config_tag_of_service(set, "qmgr", "qmgr");
    q->long_ids = config_main(set)->enable_long_queue_ids;
    transport_configure_all(q);
    resolve_configure(q);
    config_drop(old);
}

void
qmgr_fini(struct qmgr *q)
{
    for (struct map_node *n = map_first(&q->index.entries); n != NULL;
         n = map_after(&q->index.entries, n))
        mail_free(q, LIST_ENTRY(n, struct entry, node)->message);
    ledger_fini(q);
    resolve_fini(q);
    destination_fini_all(q);
    transport_fini_all(q);
    dispatch_fini(q);
    lane_fini_all(q);
    late_fini(q);
    lend_fini(q);
    intake_fini(q);
    adopted_fini(q);
    lease_fini(q);
    mem_free(q->recovering);
    index_fini(&q->index);
    heap_fini(&q->clock);
    config_drop(q->set);
}

void
qmgr_wake(struct qmgr *q)
{
    if (q->woken)
        return;
    q->woken = true;
    q->outside->wake(q->context);
}

void
qmgr_pump(struct qmgr *q)
{
    q->woken = false;
    timer_run(q);
    round_admit(q);
    mail_ask_some(q);
    dispatch(q);
    round_check_all(q);
    ledger_write_dirty(q);
    strain_look(q);
}

int64_t
qmgr_next_ms(const struct qmgr *q)
{
    const struct heap_node *timer = heap_first(&q->clock);
    const struct heap_node *due = heap_first(&q->index.timers);
    int64_t now = clock_now_ms(), at = CLOCK_NEVER;

    if (timer != NULL)
        at = timer->due;
    if (due != NULL && !q->stopping && !q->late.waiting && round_has_room(q)) {
        int64_t wait = due->due - qmgr_wall_ms();

        if (wait < 0)
            wait = 0;
        if (now + wait < at)
            at = now + wait;
    }
    return at;
}

void
qmgr_stop(struct qmgr *q)
{
    q->stopping = true;
    q->stop_until_ms = clock_now_ms() + STOP_TRIES_MS;
    qmgr_wake(q);
}

bool
qmgr_is_idle(const struct qmgr *q)
{
    return q->jobs_out == 0 && q->transactions == 0 && q->disk_jobs == 0 &&
        (q->owed == 0 || clock_now_ms() >= q->stop_until_ms) &&
        q->adoption == NULL && list_empty(&q->checks) && list_empty(&q->dirty);
}

void
txn_done(struct qmgr *q, struct txn *t)
{
    q->transactions--;
    qmgr_wake(q);
    t->done(q, t);
}

void
disk_job_start(struct qmgr *q, struct disk_job *j)
{
    q->disk_jobs++;
    q->outside->disk(q->context, j);
}

void
disk_job_done(struct qmgr *q, struct disk_job *j)
{
    q->disk_jobs--;
    qmgr_wake(q);
    j->done(q, j);
}
