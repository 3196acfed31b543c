/* Our requests on a link: numbers, answers, and fibers that wait for them. */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/ipc/link_private.h"

#include <assert.h>

struct call {
    struct map_node node; /* first */
    uint32_t number;
    enum message type;
    int64_t deadline;  /* CLOCK_NEVER: whenever it comes */
    link_done_fn done; /* NULL: nobody waits any more */
    void *context;
};

/* Requests of ours. */

static bool
same_number(const struct map_node *node, const void *key)
{
    const struct call *c = (const void *)node; /* its first member */

    return c->number == *(const uint32_t *)key;
}

static struct call *
find_call(const struct link *l, uint32_t number)
{
    struct map_node *node = map_find(&l->calls, map_hash_u64(number),
        same_number, &number);

    return node == NULL ? NULL : LIST_ENTRY(node, struct call, node);
}

static void
call_free(struct link *l, struct call *c)
{
    map_remove(&l->calls, &c->node);
    mem_free(c);
}

static uint32_t
next_number(struct link *l)
{
    do {
        l->last_number++;
    } while (l->last_number == 0 || find_call(l, l->last_number) != NULL);
    return l->last_number;
}

/* NULL when the link is gone or has too many under way; m is emptied. */
static struct call *
call_start(struct link *l, struct msg *m, link_done_fn done, void *context)
{
    enum message type = m->type;
    struct call *c;
    uint32_t number;

    if (!link_is_up(l) || l->calls.count >= LINK_REQUESTS_MAX) {
        msg_fini(m);
        return NULL;
    }
    number = next_number(l);
    if (!link_send_out(l, m, number))
        return NULL;
    c = mem_alloc(sizeof(*c));
    *c = (struct call){
        .number = number,
        .type = type,
        .deadline = CLOCK_NEVER,
        .done = done,
        .context = context,
    };
    map_add(&l->calls, map_hash_u64(number), &c->node);
    return c;
}

/*
 * Deadlines. The timer is never later than the first of them, and mostly finds
 * that those for whom it was armed have been answered: that costs less than to
 * keep them in order.
 */

static void
calls_overdue(void *arg)
{
    struct link *l = arg;
    int64_t now = clock_now_ms(), next = CLOCK_NEVER;

    for (struct map_node *n = map_first(&l->calls); n != NULL;
         n = map_after(&l->calls, n)) {
        const struct call *c = LIST_ENTRY(n, struct call, node);

        if (c->deadline <= now) {
            link_break_with(l, c->type, "not answered in time");
            return;
        }
        if (c->deadline < next)
            next = c->deadline;
    }
    if (next < CLOCK_NEVER)
        fiber_timer_arm(&l->overdue, next);
}

void
calls_init(struct link *l)
{
    l->overdue = (struct fiber_timer){ .fn = calls_overdue, .arg = l };
}

static void
call_due(struct link *l, struct call *c, int64_t deadline)
{
    c->deadline = deadline;
    if (deadline < CLOCK_NEVER &&
        (l->overdue.slot == 0 || l->overdue.deadline_ms > deadline))
        fiber_timer_arm(&l->overdue, deadline);
}

/* What could not be asked, since the link is gone or about to be. */
struct unsent {
    struct list node;
    link_done_fn done;
    void *context;
};

/* Those that there are now: whoever is told may ask again at once. */
static void
fail_unsent(struct link *l)
{
    struct list now, *it;

    list_init(&now);
    while ((it = list_take(&l->unsent)) != NULL)
        list_append(&now, it);
    while ((it = list_take(&now)) != NULL) {
        struct unsent *u = LIST_ENTRY(it, struct unsent, node), was = *u;

        mem_free(u);
        was.done(NULL, was.context);
    }
}

static void
failer_main(void *arg)
{
    struct link *l = arg;

    while (!list_empty(&l->unsent)) {
        fail_unsent(l);
        fiber_yield(); /* the reader has to get to the link's end */
    }
    l->failer = NULL;
    link_unref(l);
}

/*
 * Whoever asks is in the middle of something, and is told later: asking again
 * from inside the bad news would never end, and what he is about to note of his
 * question would be gone.
 */
static void
fail_later(struct link *l, link_done_fn done, void *context)
{
    struct unsent *u = mem_alloc(sizeof(*u));

    u->done = done;
    u->context = context;
    list_append(&l->unsent, &u->node);
    if (l->failer != NULL)
        return;
    l->failer = fiber_spawn("link failer", failer_main, l);
    if (l->failer != NULL)
        link_ref(l);
    else
        fail_unsent(l);
}

void
link_ask_until(struct link *l, struct msg *m, int64_t deadline,
    link_done_fn done, void *context)
{
    struct call *c = call_start(l, m, done, context);

    if (c == NULL)
        fail_later(l, done, context);
    else
        call_due(l, c, deadline);
}

void
link_ask(struct link *l, struct msg *m, link_done_fn done, void *context)
{
    link_ask_until(l, m, CLOCK_NEVER, done, context);
}

void
link_send(struct link *l, struct msg *m)
{
    assert(message_rule(m->type)->kind == KIND_ONE_WAY);
    link_send_out(l, m, 0);
}

/* A fiber that waits for an answer. */
struct waiter {
    struct fiber_cond cond;
    struct msg_in *answer;
    bool done;
};

static void
wake_waiter(struct msg_in *answer, void *context)
{
    struct waiter *w = context;

    w->answer = answer;
    w->done = true;
    fiber_cond_signal(&w->cond);
}

/* So that ten thousand large requests queue up in their fibers, not here. */
static enum link_status
wait_for_room(struct link *l, int64_t deadline)
{
    while (link_is_up(l) && !link_has_room(l)) {
        enum link_status st = link_status_of_wait(
            fiber_cond_wait(&l->room, deadline));

        if (st != LINK_OK)
            return st;
    }
    return link_is_up(l) ? LINK_OK : LINK_GONE;
}

static enum link_status
wait_for_answer(struct call *c, struct waiter *w, int64_t deadline)
{
    while (!w->done) {
        enum link_status st = link_status_of_wait(
            fiber_cond_wait(&w->cond, deadline));

        if (st != LINK_OK && !w->done) {
            c->done = NULL; /* the answer may still come, and is dropped */
            return st;
        }
    }
    return w->answer == NULL ? LINK_GONE : LINK_OK;
}

enum link_status
link_call(struct link *l, struct msg *m, int64_t deadline,
    struct msg_in **answer)
{
    struct waiter w = { .done = false };
    struct call *c = NULL;
    enum link_status st;

    assert(message_rule(m->type)->kind == KIND_REQUEST);
    link_ref(l);
    st = wait_for_room(l, deadline);
    if (st != LINK_OK) {
        msg_fini(m);
    } else {
        fiber_cond_init(&w.cond);
        c = call_start(l, m, wake_waiter, &w);
        st = c == NULL ? LINK_GONE : wait_for_answer(c, &w, deadline);
    }
    /* Else one who asks again at once would keep the link from ending. */
    if (st == LINK_GONE && c == NULL)
        fiber_yield();
    link_unref(l);
    if (st == LINK_OK)
        *answer = w.answer;
    return st;
}

void
link_take_answer(struct link *l, struct msg_in *m)
{
    enum message_kind kind = message_rule(m->type)->kind;
    struct call *c = find_call(l, m->number);
    struct call was;

    if (c == NULL) {
        link_break_with(l, m->type, "answers no request");
        msg_in_free(m);
        return;
    }
    was = *c;
    if (kind == KIND_ITEM
            ? message_rule(c->type)->kind != KIND_STREAM
            : message_rule(c->type)->answer != (enum message)m->type) {
        link_break_with(l, m->type, "answers another kind of request");
        msg_in_free(m);
        return;
    }
    if (kind == KIND_ANSWER)
        call_free(l, c);
    if (was.done != NULL)
        was.done(m, was.context);
    else
        msg_in_free(m);
}

void
link_fail_calls(struct link *l)
{
    struct map_node *node;

    fiber_timer_disarm(&l->overdue);
    while ((node = map_first(&l->calls)) != NULL) {
        struct call *c = LIST_ENTRY(node, struct call, node), was = *c;

        call_free(l, c);
        if (was.done != NULL)
            was.done(NULL, was.context);
    }
    fail_unsent(l);
}
