#include "qmgr/committer.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/io/channel.h"
#include "lib/io/fiber.h"
#include "qmgr/cleaning.h"
#include "qmgr/core.h"
#include "qmgr/gather.h"

#include <assert.h>
#include <errno.h>

enum {
    TAKEN_AT_ONCE = 16,
    LOOK_MS = 1000, /* between looks at what there is to clean when idle */
};

/* What goes to the committer, and comes back. */
struct order {
    enum { ORDER_COMMIT, ORDER_COPY, ORDER_DONE } kind;
    struct list txns;        /* to be committed, before the step */
    struct spool_step *step; /* the others; and coming back: the next one */
    bool waits; /* coming back: there is something to clean later */
};

struct committer {
    struct qmgr *q;
    struct spool *spool;
    struct channel *to, *from;
    pthread_t thread;

    /* loop only: */
    struct gather gathered;
    struct sched_hook hook;
    struct fiber *fiber;
    struct fiber_timer look;
    struct fiber_timer due; /* of what may wait; when it fires the turn ends */
    size_t orders;          /* under way ... */
    size_t orders_max;      /* ... and how many may be */
    bool died;              /* something did since the last look */
    struct fiber_cond ended;

    /* committer only: */
    struct spool_step *asked;
};

/* The committer's thread. */

static struct order *
commit_orders(struct committer *c, struct order **orders, size_t count)
{
    struct order *first = orders[0];
    struct list *it;

    for (size_t i = 1; i < count; i++)
        while ((it = list_take(&orders[i]->txns)) != NULL)
            list_append(&first->txns, it);
    if (!list_empty(&first->txns))
        spool_commit(c->spool, &first->txns);
    else
        spool_look(c->spool);
    return first;
}

/* One step of the cleaner at a time, and its answers in between. */
static void
clean(struct committer *c, struct order *o)
{
    if (o->kind != ORDER_COMMIT && !list_empty(&o->txns))
        spool_commit(c->spool, &o->txns);
    switch (o->kind) {
    case ORDER_COPY:
        spool_clean_copy(c->spool, o->step);
        return;
    case ORDER_DONE:
        spool_clean_done(c->spool, o->step);
        c->asked = NULL;
        break;
    case ORDER_COMMIT:
        break;
    }
    o->step = NULL;
    if (c->asked == NULL)
        o->step = c->asked = spool_clean_next(c->spool);
    o->waits = spool_clean_waits(c->spool);
}

static void
carry_out(struct committer *c, struct order **orders, size_t count)
{
    size_t i = 0;

    while (i < count) {
        size_t end = i;

        while (end < count && orders[end]->kind == ORDER_COMMIT)
            end++;
        if (end > i) {
            (void)commit_orders(c, orders + i, end - i);
            /* First the answers, then the cleaning. */
            for (; i + 1 < end; i++)
                channel_send(c->from, orders[i]);
        }
        clean(c, orders[i]);
        channel_send(c->from, orders[i++]);
    }
}

static void *
run(void *arg)
{
    struct committer *c = arg;
    void *orders[TAKEN_AT_ONCE];
    size_t count;

    while ((count = channel_receive_wait(c->to, orders, TAKEN_AT_ONCE)) > 0)
        carry_out(c, (struct order **)orders, count);
    channel_close(c->from);
    return NULL;
}

/* The loop. */

static bool
send_order(struct committer *c, struct order *o)
{
    if (!channel_reserve(c->from, 1))
        return false;
    if (!channel_reserve(c->to, 1)) {
        channel_unreserve(c->from, 1);
        return false;
    }
    c->orders++;
    channel_send(c->to, o);
    return true;
}

static void
hand_over(struct committer *c)
{
    struct order *o = mem_alloc(sizeof(*o));
    bool sent;

    fiber_timer_disarm(&c->due);
    o->kind = ORDER_COMMIT;
    list_init(&o->txns);
    gather_take(&c->gathered, &o->txns);
    sent = send_order(c, o);
    assert(sent); /* room for orders is counted */
}

/* The end of a turn. */
static void
flush_hook(void *context)
{
    struct committer *c = context;
    int64_t due;

    if (c->q->stopping)
        gather_hurry(&c->gathered);
    due = gather_due_ms(&c->gathered);
    if (due == CLOCK_NEVER || c->orders >= c->orders_max)
        return;
    if (due <= clock_now_ms())
        hand_over(c);
    else
        fiber_timer_arm(&c->due, due);
}

static void
is_due(void *arg)
{
    (void)arg;
}

void
committer_add(struct committer *c, struct txn *t)
{
    gather_add(&c->gathered, t, c->q->config->queue_settle_delay);
}

void
committer_hurry(struct committer *c)
{
    gather_hurry(&c->gathered);
}

static void
look(void *arg)
{
    struct committer *c = arg;
    struct order *o;

    if (c->orders == 0 && c->died) {
        c->died = false;
        o = mem_alloc(sizeof(*o));
        o->kind = ORDER_COMMIT;
        list_init(&o->txns);
        if (!send_order(c, o))
            mem_free(o);
    }
    if (c->died || c->orders > 0)
        fiber_timer_arm(&c->look, clock_now_ms() + LOOK_MS);
}

static void
look_later(struct committer *c)
{
    if (!c->died)
        fiber_timer_arm(&c->look, clock_now_ms() + LOOK_MS);
    c->died = true;
}

void
committer_look(struct committer *c)
{
    struct order *o;

    if (c->orders > 0 || gather_due_ms(&c->gathered) <= clock_now_ms())
        return; /* it is going to */
    o = mem_alloc(sizeof(*o));
    o->kind = ORDER_COMMIT;
    list_init(&o->txns);
    if (!send_order(c, o))
        mem_free(o);
}

void
committer_dead(struct committer *c, const struct spool_place *place)
{
    spool_record_dead(c->spool, place);
    look_later(c);
}

/*
 * A step that came back becomes the order that goes on with it, in the place
 * that it had: so it never has to wait for one.
 */
static void
go_on_cleaning(struct committer *c, struct order *o)
{
    struct spool_step *step = o->step;
    bool sent;

    if (o->kind == ORDER_COPY) {
        cleaning_take_over(c->q, step);
        o->kind = ORDER_DONE;
    } else {
        cleaning_answer(c->q, step);
        o->kind = ORDER_COPY;
    }
    /*
     * What was built before the move is known here goes first: by itself, so
     * that it is not answered only when the step is done, unless that takes the
     * last place.
     */
    if (gather_due_ms(&c->gathered) != CLOCK_NEVER &&
        c->orders + 1 < c->orders_max)
        hand_over(c);
    fiber_timer_disarm(&c->due);
    gather_take(&c->gathered, &o->txns);
    sent = send_order(c, o);
    assert(sent); /* room for orders is counted */
}

static void
take_back(struct committer *c, struct order *o)
{
    struct list *it;

    c->orders--;
    if (o->waits)
        look_later(c);
    while ((it = list_take(&o->txns)) != NULL)
        txn_done(c->q, LIST_ENTRY(it, struct txn, spool.link));
    if (o->step != NULL)
        go_on_cleaning(c, o);
    else
        mem_free(o);
}

static void
take_back_main(void *arg)
{
    struct committer *c = arg;
    void *orders[TAKEN_AT_ONCE];
    size_t count;

    fiber_shield();
    while ((count = channel_receive(c->from, orders, TAKEN_AT_ONCE)) > 0)
        for (size_t i = 0; i < count; i++)
            take_back(c, orders[i]);
    c->fiber = NULL;
    fiber_cond_broadcast(&c->ended);
}

static enum result
start_thread(struct committer *c, struct why *why)
{
    int error = thread_start(&c->thread, run, c);

    if (error == 0)
        return RESULT_OK;
    errno = error;
    return why_errno(why, "start the committer");
}

enum result
committer_new(struct qmgr *q, struct spool *s, size_t orders_max,
    struct committer **committer, struct why *why)
{
    struct committer *c = mem_alloc(sizeof(*c));

    c->q = q;
    c->spool = s;
    c->orders_max = orders_max;
    c->to = channel_new(orders_max);
    c->from = channel_new(orders_max);
    gather_init(&c->gathered);
    fiber_cond_init(&c->ended);
    c->hook = (struct sched_hook){ .run = flush_hook, .context = c };
    c->look = (struct fiber_timer){ .fn = look, .arg = c };
    c->due = (struct fiber_timer){ .fn = is_due, .arg = c };
    if (channel_attach(c->from) < 0 || start_thread(c, why) != RESULT_OK) {
        channel_free(c->to);
        channel_free(c->from);
        mem_free(c);
        return RESULT_TEMPFAIL;
    }
    sched_add_hook(&c->hook);
    c->fiber = fiber_spawn("committer", take_back_main, c);
    assert(c->fiber != NULL);
    *committer = c;
    return RESULT_OK;
}

void
committer_free(struct committer *c)
{
    if (c == NULL)
        return;
    assert(gather_due_ms(&c->gathered) == CLOCK_NEVER);
    fiber_timer_disarm(&c->look);
    sched_remove_hook(&c->hook);
    /* A step of the cleaner is led to its end, no other is begun. */
    while (c->orders > 0)
        (void)fiber_sleep_until(clock_now_ms() + 1);
    channel_close(c->to);
    while (c->fiber != NULL)
        (void)fiber_cond_wait(&c->ended, CLOCK_NEVER);
    (void)pthread_join(c->thread, NULL);
    channel_free(c->to);
    channel_free(c->from);
    mem_free(c);
}
