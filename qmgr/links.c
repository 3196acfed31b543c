#include "qmgr/links.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/daemon/control.h"
#include "lib/io/fiber.h"
#include "lib/mail/queue_id.h"
#include "lib/mail/route.h"
#include "lib/mail/submission.h"
#include "qmgr/dispatch.h"
#include "qmgr/intake.h"
#include "qmgr/late.h"
#include "qmgr/lease.h"
#include "qmgr/lend.h"
#include "qmgr/patience.h"
#include "qmgr/resolve.h"
#include "qmgr/settle.h"

enum { ANSWER_ARENA_MAX = 256 * 1024 * 1024 };

/* Set once, before the first peer. */
static struct outdoors *outdoors;

void
links_init(struct outdoors *o)
{
    outdoors = o;
}

/* The disk. */

static void
commit(void *context, struct txn *t)
{
    committer_add(((struct outdoors *)context)->committer, t);
}

static void
disk(void *context, struct disk_job *j)
{
    pool_add(&((struct outdoors *)context)->pool, j);
}

static uint64_t
txn_max(void *context)
{
    return spool_txn_max(((struct outdoors *)context)->spool);
}

static bool
has_room(void *context, uint64_t octets)
{
    return spool_has_room(((struct outdoors *)context)->spool, octets);
}

static bool
room_take(void *context, uint64_t octets)
{
    struct outdoors *o = context;

    if (spool_room_take(o->spool, octets))
        return true;
    committer_look(o->committer);
    return false;
}

static void
room_give(void *context, uint64_t octets)
{
    if (octets > 0)
        spool_room_give(((struct outdoors *)context)->spool, octets);
}

static void
close_blob(void *context, int fd)
{
    spool_blob_close(((struct outdoors *)context)->spool, fd);
}

static void
dead(void *context, const struct spool_place *place)
{
    struct outdoors *o = context;

    if (o->committer != NULL)
        committer_dead(o->committer, place);
    else
        spool_record_dead(o->spool, place);
}

/* lookup */

static int64_t
in_ms(int64_t ms)
{
    return clock_now_ms() + ms;
}

static void
resolved(struct msg_in *answer, void *context)
{
    struct question *question = context;
    struct route route;
    enum result res;
    struct why why;

    if (answer == NULL) {
        resolve_lost(outdoors->q, question);
        return;
    }
    res = route_decode(answer->body, &route, &why);
    resolve_answered(outdoors->q, question, res, &route, &why);
    msg_in_free(answer);
}

static bool
resolve(void *context, const struct route_question *q,
    struct question *question)
{
    struct peer *p = daemon_peer(ROLE_LOOKUP, map_hash_slice(q->recipient));
    struct msg m;

    (void)context;
    if (p == NULL)
        return false;
    route_ask_encode(q, &m);
    link_ask_until(p->link, &m, in_ms(patience_lookup_ms(outdoors->q)),
        resolved, question);
    return true;
}

/* Agents and bounce. */

static void
complain(const struct job *j, const char *what, const char *why)
{
    char text[QUEUE_ID_SIZE];

    log_warning("%s: %s: %s",
        queue_id_text(j->attempt.id, outdoors->q->long_ids, text), what, why);
}

static void
delivered(struct msg_in *answer, void *context)
{
    struct job *j = context;
    struct delivery_answer a;
    struct arena arena;
    struct why why;

    if (answer == NULL) {
        job_lost(outdoors->q, j);
        return;
    }
    arena_init(&arena, ANSWER_ARENA_MAX);
    if (delivery_answer_decode(answer->body, &arena, &a, &why) == RESULT_OK) {
        job_answered(outdoors->q, j, &a);
    } else {
        complain(j, "answer of a delivery agent", why.text);
        job_nonsense(outdoors->q, j);
    }
    arena_clear(&arena);
    msg_in_free(answer);
}

static size_t
backlog(void *context, const struct agent *agent)
{
    struct peer *p = agent->peer;

    (void)context;
    return p == NULL ? 0 : link_backlog(p->link);
}

static bool
deliver(void *context, struct agent *agent, struct delivery *d, struct job *j)
{
    struct peer *p = agent->peer;
    int64_t deadline = in_ms(patience_delivery_ms(outdoors->q, d));
    struct msg m;

    (void)context;
    delivery_encode(d, &m);
    if (buf_failed(&m.body)) {
        complain(j, "delivery", "larger than a message to an agent may be");
        msg_fini(&m);
        return false;
    }
    link_ask_until(p->link, &m, deadline, delivered, j);
    return true;
}

static void
notified(struct msg_in *answer, void *context)
{
    struct job *j = context;
    struct queue_answer a;
    enum result res;
    struct why why;

    if (answer == NULL) {
        job_lost(outdoors->q, j);
        return;
    }
    res = queue_answer_decode(answer->body, &a, &why);
    if (res != RESULT_OK)
        complain(j, "answer of bounce", why.text);
    job_notified(outdoors->q, j, res);
    msg_in_free(answer);
}

static bool
notify(void *context, struct notice *n, struct job *j)
{
    struct peer *p = daemon_peer(ROLE_BOUNCE, map_hash_u64(n->attempt.id));
    struct msg m;

    (void)context;
    if (p == NULL) {
        if (n->fd >= 0)
            spool_blob_close(outdoors->spool, n->fd);
        return false;
    }
    notice_encode(n, &m);
    if (buf_failed(&m.body)) {
        complain(j, "notice", "larger than a message to bounce may be");
        msg_fini(&m);
        return false;
    }
    link_ask_until(p->link, &m, in_ms(patience_notice_ms(outdoors->q)),
        notified, j);
    return true;
}

/* Submitters. */

static void
answer_request(void *context, void *request, enum message type,
    const struct queue_answer *answer, int fd)
{
    struct outdoors *o = context;
    struct request *r = request;
    struct msg m;

    if (type == MESSAGE_SUBMITTED && r->link == NULL &&
        answer->result == RESULT_OK)
        intake_unanswered(o->q, answer->id);
    queue_answer_encode(type, answer, &m);
    if (fd >= 0)
        msg_put_fd(&m, fd);
    request_reply(r, &m);
}

static void
tell_pressure(struct peer *p, enum pressure level)
{
    struct msg m;

    pressure_encode(level, &m);
    link_send(p->link, &m);
}

static void
pressure(void *context, enum pressure level)
{
    (void)context;
    list_foreach (it, daemon_peers(ROLE_SMTPD))
        tell_pressure(LIST_ENTRY(it, struct peer, node), level);
}

static void
wake(void *context)
{
    fiber_cond_signal(&((struct outdoors *)context)->woken);
}

static void
verified(void *context, const struct verify_result *result)
{
    (void)context;
    verify_found(result);
}

static void
unverified(void *context, struct slice address)
{
    (void)context;
    verify_lost(address);
}

const struct outside links_outside = {
    .commit = commit,
    .disk = disk,
    .txn_max = txn_max,
    .has_room = has_room,
    .room_take = room_take,
    .room_give = room_give,
    .close = close_blob,
    .dead = dead,
    .resolve = resolve,
    .backlog = backlog,
    .deliver = deliver,
    .notify = notify,
    .verified = verified,
    .unverified = unverified,
    .answer = answer_request,
    .pressure = pressure,
    .wake = wake,
};

/* Closed for good: the spool is not ours any more. */
static bool
is_closed(struct request *r, enum message type)
{
    struct queue_answer a = { 0 };
    struct msg m;

    if (outdoors->committer != NULL)
        return false;
    a.result = why_temp(&a.why, "4.3.2", "queue manager is stopping");
    queue_answer_encode(type, &a, &m);
    request_reply(r, &m);
    return true;
}

static void
serve_lease(struct request *r)
{
    struct slice rest = r->in->body;
    uint64_t count = 1;
    struct tlv t;

    if (is_closed(r, MESSAGE_LEASED))
        return;
    while (tlv_next(&rest, &t))
        if (t.tag == ATTR_COUNT && !tlv_u64(t.value, UINT32_MAX, &count))
            count = 1;
    lease_ask(outdoors->q, r, count);
}

static void
serve_borrow(struct request *r)
{
    if (!is_closed(r, MESSAGE_BLOB))
        lend_blob(outdoors->q, r, r->context);
}

static void
serve_return(struct request *r)
{
    struct slice rest = r->in->body;
    uint64_t number;
    struct tlv t;

    while (tlv_next(&rest, &t))
        if (t.tag == ATTR_BLOB && tlv_u64(t.value, UINT64_MAX, &number))
            lend_return(outdoors->q, number, r->context);
    request_drop(r);
}

/* Among all processes of all pools, from 1. */
static uint16_t
place_of(const struct peer *p)
{
    _Static_assert(ROLE_COUNT * (CONTROL_POOL_MAX + 1) < UINT16_MAX, "fits");
    return (uint16_t)(1 + p->role * (CONTROL_POOL_MAX + 1) + p->index);
}

static void
serve_submit(struct request *r)
{
    if (!is_closed(r, MESSAGE_SUBMITTED))
        intake_submit(outdoors->q, r, r->context, place_of(r->context),
            request_take_in(r));
}

static void
serve_late(struct request *r)
{
    struct peer *p = r->context;

    if (!late_take(outdoors->q, p->state, request_take_in(r)))
        link_drop(p->link, MESSAGE_LATE, "not what it was given");
    request_drop(r);
}

static void
serve_late_done(struct request *r)
{
    late_told_all(outdoors->q, ((struct peer *)r->context)->state);
    request_drop(r);
}

bool
links_may(struct peer *p, enum message type)
{
    return (type != MESSAGE_LATE && type != MESSAGE_LATE_DONE) ||
        (p->state != NULL && late_may(p->state));
}

const struct link_handler links_handlers[] = {
    { MESSAGE_LEASE, serve_lease, SERVE_INLINE },
    { MESSAGE_BORROW_BLOB, serve_borrow, SERVE_INLINE },
    { MESSAGE_RETURN_BLOB, serve_return, SERVE_INLINE },
    { MESSAGE_SUBMIT, serve_submit, SERVE_INLINE },
    { MESSAGE_LATE, serve_late, SERVE_INLINE },
    { MESSAGE_LATE_DONE, serve_late_done, SERVE_INLINE },
    { MESSAGE_NONE, NULL, SERVE_INLINE },
};

void
links_peer_up(struct peer *p)
{
    if (p->role == ROLE_SMTP || p->role == ROLE_LOCAL) {
        struct agent *a = agent_up(outdoors->q, p->role, p);

        a->process = p->process;
        a->elder = p->elder;
        p->state = a;
    } else if (p->role == ROLE_LOOKUP) {
        resolve_retry(outdoors->q);
    } else if (p->role == ROLE_SMTPD && outdoors->q->strain != PRESSURE_NONE) {
        tell_pressure(p, outdoors->q->strain);
    }
}

void
links_agent_died(uint32_t process, enum process_end end, uint32_t code)
{
    agent_died(outdoors->q, process, end, code);
}

void
links_peer_gone(struct peer *p)
{
    daemon_restart_peer(p);
    lend_owner_gone(outdoors->q, p);
    if (p->state != NULL)
        agent_gone(outdoors->q, p->state);
    p->state = NULL;
}

static void
timer_fired(void *arg)
{
    wake(arg);
}

void
links_pump_main(void *arg)
{
    struct outdoors *o = arg;

    o->timer = (struct fiber_timer){ .fn = timer_fired, .arg = o };
    for (;;) {
        int64_t next;

        qmgr_pump(o->q);
        next = qmgr_next_ms(o->q);
        if (next < CLOCK_NEVER)
            fiber_timer_arm(&o->timer, next);
        if (!o->q->woken && next > clock_now_ms() &&
            fiber_cond_wait(&o->woken, CLOCK_NEVER) != WAIT_OK)
            return;
        /* Behind all that became runnable in this turn. */
        fiber_yield();
    }
}
