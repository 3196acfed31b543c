/*
 * qmgr_world - everything outside the queue manager's core, in the hands of a
 * test: a disk that is a list of records, agents, bounce and lookup that answer
 * when and what the test says, a clock that stands still.
 *
 * What the core asks for gathers in lists; the test decides what happens next.
 * world_settle() lets everything happen until nothing does any more.
 */
#pragma once

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "lib/base/tlv.h"
#include "lib/mail/queue_id.h"
#include "lib/mail/route.h"
#include "qmgr/cleaning.h"
#include "qmgr/core.h"
#include "qmgr/dispatch.h"
#include "qmgr/edit.h"
#include "qmgr/gather.h"
#include "qmgr/intake.h"
#include "qmgr/late.h"
#include "qmgr/lease.h"
#include "qmgr/mail.h"
#include "qmgr/record.h"
#include "qmgr/recover.h"
#include "qmgr/resolve.h"
#include "qmgr/round.h"
#include "qmgr/settle.h"
#include "tests/crash/disk_sim.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define WORLD_FN __attribute__((unused)) static

enum { WORLD_RCPTS = 64, WORLD_TEXT = 128 };

/* A record that is durable. */
struct stored {
    struct list link; /* in the order of the log */
    enum record_type type;
    uint64_t id, blob;
    char *brief, *head, *content;
    size_t brief_len, head_len, content_len;
    struct spool_place place;
    bool dead;
};

/* A delivery or a notice that somebody has. */
struct errand {
    struct list link;
    struct job *job;
    bool is_notice;
    enum notice_kind kind;
    struct attempt attempt;
    uint64_t proof;
    void *agent;
    char transport[WORLD_TEXT], nexthop[WORLD_TEXT];
    size_t count;
    uint32_t *indexes;
    char (*addresses)[WORLD_TEXT];
    struct rcpt_result *results; /* of a notice; without their texts */
    bool *stays;                 /* likewise */
    size_t body_len;
    bool is_damaged; /* of a notice: no content */
};

struct asked {
    struct list link;
    struct question *question;
    char recipient[WORLD_TEXT];
};

struct world {
    struct qmgr q;
    struct config_set *set;
    struct list log;         /* struct stored */
    struct list txns;        /* not durable yet */
    struct gather gathered;  /* before that, with a settle delay */
    int64_t settle_delay_ms; /* 0: none, all goes at once */
    struct list disk;
    struct list errands;
    struct list asked;
    uint32_t offset;
    bool frozen;     /* the power is cut: nothing becomes durable */
    bool disk_fails; /* transactions fail */
    bool content_is_damaged;
    bool txn_failed; /* one did, since somebody set this to false */
    bool no_lookup, no_bounce;
    bool lookup_waits;         /* for world_step_route() */
    bool no_reserve;           /* nothing can be set aside */
    char verified[WORLD_TEXT]; /* "ADDRESS=RESULT:TEXT;", all */
    unsigned verified_count;
    enum route_use route_use; /* of the last question to lookup */
    uint64_t no_room;         /* for so many octets and more; 0: there is */
    enum pressure pressure;   /* as submitters were told last */
    unsigned pressures;       /* how often */
    uint16_t place;           /* of who submits; 0: 1 */
    unsigned blobs, blobs_refused;
    uint64_t next_id; /* leased */
    uint64_t lease_count;
    unsigned answered_ok, answered_temp, answered_perm;
    char last_text[600];
    struct disk_sim *sim; /* NULL: the disk is the list above */
    struct spool *spool;
    uint64_t segment_size;
    /* What lookup says; default: transport smtp, nexthop the domain. */
    enum result (*route)(struct world *w, struct slice recipient,
        struct route *route, struct why *why);
    void *context; /* the test's */
    /* Called when all is found and nothing of it is begun; NULL: nothing. */
    void (*before_begin)(struct world *w);
};

WORLD_FN void
world_commit(void *context, struct txn *t)
{
    struct world *w = context;

    if (w->settle_delay_ms > 0)
        gather_add(&w->gathered, t, w->settle_delay_ms);
    else
        list_append(&w->txns, &t->spool.link);
}

WORLD_FN void
world_disk(void *context, struct disk_job *j)
{
    struct world *w = context;

    list_append(&w->disk, &j->link);
}

WORLD_FN bool
world_has_room(void *context, uint64_t octets)
{
    struct world *w = context;

    if (w->no_room != 0 && octets >= w->no_room)
        return false;
    return w->spool == NULL || spool_has_room(w->spool, octets);
}

WORLD_FN void
world_pressure(void *context, enum pressure level)
{
    struct world *w = context;

    w->pressure = level;
    w->pressures++;
}

WORLD_FN bool
world_room_take(void *context, uint64_t octets)
{
    struct world *w = context;

    if (w->no_reserve)
        return false;
    if (w->spool == NULL || spool_room_take(w->spool, octets))
        return true;
    spool_look(w->spool);
    return spool_room_take(w->spool, octets);
}

WORLD_FN void
world_room_give(void *context, uint64_t octets)
{
    struct world *w = context;

    if (w->spool != NULL)
        spool_room_give(w->spool, octets);
}

WORLD_FN void
world_close(void *context, int fd)
{
    struct world *w = context;

    if (w->spool != NULL)
        spool_blob_close(w->spool, fd);
    else
        assert_int_equal(close(fd), 0);
}

WORLD_FN void
world_dead(void *context, const struct spool_place *place)
{
    struct world *w = context;

    if (w->spool != NULL) {
        spool_record_dead(w->spool, place);
        return;
    }
    if (w->frozen)
        return;
    list_foreach (it, &w->log) {
        struct stored *s = LIST_ENTRY(it, struct stored, link);

        if (place_same(&s->place, place)) {
            assert_false(s->dead);
            s->dead = true;
            return;
        }
    }
    fail_msg("a record that is not there died");
}

WORLD_FN bool
world_resolve(void *context, const struct route_question *q,
    struct question *question)
{
    struct world *w = context;
    struct asked *a;

    if (w->no_lookup)
        return false;
    a = mem_alloc(sizeof(*a));
    a->question = question;
    w->route_use = q->use;
    (void)snprintf(a->recipient, sizeof(a->recipient), SLICE_FMT,
        SLICE_ARG(q->recipient));
    list_append(&w->asked, &a->link);
    return true;
}

WORLD_FN size_t
world_backlog(void *context, const struct agent *agent)
{
    (void)context;
    (void)agent;
    return 0;
}

WORLD_FN struct errand *
world_errand_new(size_t count)
{
    struct errand *e = mem_alloc(sizeof(*e));

    assert_true(count > 0);
    e->indexes = mem_alloc_array(count, sizeof(*e->indexes));
    e->addresses = mem_alloc_array(count, sizeof(*e->addresses));
    e->results = mem_alloc_array(count, sizeof(*e->results));
    e->stays = mem_alloc_array(count, sizeof(*e->stays));
    return e;
}

WORLD_FN bool
world_deliver(void *context, struct agent *agent, struct delivery *d,
    struct job *job)
{
    struct world *w = context;
    struct errand *e = world_errand_new(d->recipient_count);

    e->job = job;
    e->attempt = d->attempt;
    e->proof = d->proof;
    e->agent = agent->peer;
    e->body_len = d->body.len;
    (void)snprintf(e->transport, WORLD_TEXT, SLICE_FMT,
        SLICE_ARG(d->transport));
    (void)snprintf(e->nexthop, WORLD_TEXT, SLICE_FMT, SLICE_ARG(d->nexthop));
    for (size_t i = 0; i < d->recipient_count; i++) {
        e->indexes[e->count] = d->recipients[i].index;
        (void)snprintf(e->addresses[e->count++], WORLD_TEXT, SLICE_FMT,
            SLICE_ARG(d->recipients[i].rcpt.address));
    }
    list_append(&w->errands, &e->link);
    return true;
}

WORLD_FN bool
world_notify(void *context, struct notice *n, struct job *job)
{
    struct world *w = context;
    struct errand *e;

    if (w->no_bounce)
        return false;
    e = world_errand_new(n->recipient_count);
    e->job = job;
    e->is_notice = true;
    e->kind = n->kind;
    e->is_damaged = n->is_damaged != 0;
    e->body_len = n->body.len;
    e->attempt = n->attempt;
    for (size_t i = 0; i < n->recipient_count; i++) {
        e->indexes[e->count] = n->recipients[i].index;
        e->results[e->count] = n->recipients[i].result;
        e->stays[e->count] = n->recipients[i].stays != 0;
        (void)snprintf(e->addresses[e->count++], WORLD_TEXT, SLICE_FMT,
            SLICE_ARG(n->recipients[i].rcpt.address));
    }
    list_append(&w->errands, &e->link);
    return true;
}

WORLD_FN void
world_answer(void *context, void *request, enum message type,
    const struct queue_answer *a, int fd)
{
    struct world *w = context;
    enum result *told = request == w ? NULL : request;

    if (type == MESSAGE_BLOB && a->result == RESULT_OK) {
        w->blobs++;
        assert_true(a->blob > 0);
        assert_int_equal(close(fd), 0);
        fd = -1;
    } else if (type == MESSAGE_BLOB) {
        w->blobs_refused++;
    }
    assert_int_equal(fd, -1);
    if (type == MESSAGE_LEASED && a->result == RESULT_OK) {
        w->next_id = a->id;
        w->lease_count = a->count;
    }
    if (type == MESSAGE_SUBMITTED) {
        w->answered_ok += a->result == RESULT_OK;
        w->answered_temp += a->result == RESULT_TEMPFAIL;
        w->answered_perm += a->result == RESULT_PERMFAIL;
        (void)snprintf(w->last_text, sizeof(w->last_text), "%s %s",
            a->why.status, a->why.text);
    }
    if (told != NULL)
        *told = a->result;
}

WORLD_FN void
world_verified(void *context, const struct verify_result *r)
{
    struct world *w = context;
    size_t len = strlen(w->verified);

    w->verified_count++;
    (void)snprintf(w->verified + len, WORLD_TEXT - len,
        SLICE_FMT "=%u:" SLICE_FMT ";", SLICE_ARG(r->address), r->verified,
        SLICE_ARG(r->text));
}

WORLD_FN void
world_wake(void *context)
{
    (void)context;
}

static const struct outside world_outside = {
    .commit = world_commit,
    .disk = world_disk,
    .has_room = world_has_room,
    .pressure = world_pressure,
    .room_take = world_room_take,
    .room_give = world_room_give,
    .close = world_close,
    .dead = world_dead,
    .resolve = world_resolve,
    .backlog = world_backlog,
    .deliver = world_deliver,
    .notify = world_notify,
    .answer = world_answer,
    .verified = world_verified,
    .wake = world_wake,
};

/* The disk. */

WORLD_FN char *
world_copy(struct slice s, size_t *len)
{
    *len = s.len;
    return mem_text_of(s);
}

WORLD_FN void
world_store(struct world *w, struct spool_record *r)
{
    struct stored *s = mem_alloc(sizeof(*s));

    s->type = r->type;
    s->id = r->id;
    s->blob = r->blob;
    s->brief = world_copy(r->brief, &s->brief_len);
    s->head = world_copy(r->head, &s->head_len);
    s->content = world_copy(r->content, &s->content_len);
    s->place = (struct spool_place){ 1, ++w->offset, 1 };
    r->place = s->place;
    list_append(&w->log, &s->link);
}

/* What has gathered becomes durable with one flush, or fails. */
WORLD_FN void
world_write_gathered(struct world *w, struct list *batch)
{
    struct list *it;

    list_init(batch);
    gather_take(&w->gathered, &w->txns);
    while ((it = list_take(&w->txns)) != NULL)
        list_append(batch, it);
    if (!list_empty(batch))
        spool_commit(w->spool, batch);
}

WORLD_FN void
world_answer_batch(struct world *w, struct list *batch)
{
    struct list *it;

    while ((it = list_take(batch)) != NULL) {
        struct txn *t = LIST_ENTRY(it, struct txn, spool.link);

        w->txn_failed |= t->spool.result != RESULT_OK;
        txn_done(&w->q, t);
    }
}

/*
 * As the committer does it: what was built before the core knows of a move is
 * written before the step of the cleaner ends.
 */
WORLD_FN bool
world_spool_commit(struct world *w)
{
    struct spool_step *step;
    struct list batch;

    if (list_empty(&w->txns) && !w->q.stopping &&
        gather_due_ms(&w->gathered) > clock_now_ms())
        return false;
    world_write_gathered(w, &batch);
    if (list_empty(&batch))
        return false;
    world_answer_batch(w, &batch);
    while (!w->frozen && (step = spool_clean_next(w->spool)) != NULL) {
        cleaning_answer(&w->q, step);
        spool_clean_copy(w->spool, step);
        cleaning_take_over(&w->q, step);
        world_write_gathered(w, &batch);
        spool_clean_done(w->spool, step);
        world_answer_batch(w, &batch);
    }
    return true;
}

/* The oldest transaction becomes durable, or fails. */
WORLD_FN bool
world_step_txn(struct world *w)
{
    struct list *it;
    struct txn *t;

    if (w->spool != NULL && !w->frozen)
        return world_spool_commit(w);
    it = list_take(&w->txns);
    if (it == NULL)
        return false;
    t = LIST_ENTRY(it, struct txn, spool.link);
    if (w->frozen || w->disk_fails) {
        t->spool.result = why_temp(&t->spool.why, "4.3.1", "disk is full");
    } else {
        t->spool.result = RESULT_OK;
        for (size_t i = 0; i < t->spool.record_count; i++)
            world_store(w, &t->spool.records[i]);
    }
    txn_done(&w->q, t);
    return true;
}

WORLD_FN struct stored *
world_stored(struct world *w, const struct spool_place *place)
{
    list_foreach (it, &w->log) {
        struct stored *s = LIST_ENTRY(it, struct stored, link);

        if (place_same(&s->place, place))
            return s;
    }
    return NULL;
}

WORLD_FN bool
world_step_disk(struct world *w)
{
    struct list *it = list_take(&w->disk);
    struct disk_job *j;
    struct stored *s;

    if (it == NULL)
        return false;
    j = LIST_ENTRY(it, struct disk_job, link);
    if (w->spool != NULL) {
        disk_job_work(w->spool, j);
        disk_job_done(&w->q, j);
        return true;
    }
    j->result = RESULT_OK;
    if (j->task == DISK_READ && w->content_is_damaged) {
        j->result = why_perm(&j->why, "5.3.0", "checksum is wrong");
    } else if (j->task == DISK_READ || j->task == DISK_READ_HEAD) {
        s = world_stored(w, &j->place);
        assert_non_null(s);
        assert_true(s->id == j->id);
        buf_add(&j->head, (struct slice){ s->head, s->head_len });
        if (j->task == DISK_READ)
            buf_add(&j->content, (struct slice){ s->content, s->content_len });
    }
    if (j->task == DISK_LEND)
        j->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    disk_job_done(&w->q, j);
    return true;
}

/* lookup */

WORLD_FN enum result
world_route(struct world *w, struct slice recipient, struct route *route,
    struct why *why)
{
    size_t at = slice_find(recipient, '@');

    (void)w;
    (void)why;
    *route = (struct route){ .class = CLASS_DEFAULT };
    (void)snprintf(route->transport, sizeof(route->transport), "smtp");
    (void)snprintf(route->nexthop, sizeof(route->nexthop), SLICE_FMT,
        SLICE_ARG(slice_skip(recipient, at + 1)));
    (void)snprintf(route->address, sizeof(route->address), SLICE_FMT,
        SLICE_ARG(recipient));
    return RESULT_OK;
}

WORLD_FN bool
world_step_route(struct world *w)
{
    struct list *it = list_take(&w->asked);
    struct route route;
    struct asked *a;
    enum result res;
    struct why why;

    if (it == NULL)
        return false;
    a = LIST_ENTRY(it, struct asked, link);
    res = (w->route == NULL ? world_route : w->route)(w, slice_of(a->recipient),
        &route, &why);
    resolve_answered(&w->q, a->question, res, &route, &why);
    mem_free(a);
    return true;
}

/* Agents. */

WORLD_FN struct errand *
world_errand(struct world *w, size_t nth)
{
    list_foreach (it, &w->errands)
        if (nth-- == 0)
            return LIST_ENTRY(it, struct errand, link);
    return NULL;
}

WORLD_FN size_t
world_count(const struct list *head)
{
    size_t n = 0;

    list_foreach (it, head)
        n++;
    return n;
}

WORLD_FN void
world_errand_end(struct errand *e)
{
    list_remove(&e->link);
    mem_free(e->indexes);
    mem_free(e->addresses);
    mem_free(e->results);
    mem_free(e->stays);
    mem_free(e);
}

/* All recipients of e have that outcome. */
WORLD_FN void
world_report(struct world *w, struct errand *e, enum outcome outcome,
    enum destination_state state)
{
    struct rcpt_result *results = mem_alloc_array(e->count, sizeof(*results));
    struct delivery_answer a = {
        .attempt = e->attempt,
        .destination = state,
        .destination_text = SLICE_LIT("connect: refused"),
        .results = results,
        .count = e->count,
    };

    for (size_t i = 0; i < e->count; i++) {
        results[i].index = e->indexes[i];
        results[i].outcome = outcome;
        (void)snprintf(results[i].status, sizeof(results[i].status), "%s",
            outcome == OUTCOME_SENT           ? "2.0.0"
                : outcome == OUTCOME_DEFERRED ? "4.4.1"
                                              : "5.1.1");
        results[i].text = SLICE_LIT("said the test");
    }
    job_answered(&w->q, e->job, &a);
    mem_free(results);
    world_errand_end(e);
}

WORLD_FN void
world_kill(struct world *w, struct errand *e)
{
    if (e->job->agent != NULL)
        e->job->agent->fate = FATE_CRASHED;
    job_lost(&w->q, e->job);
    world_errand_end(e);
}

/* Submitters. */

struct world_mail {
    const char *sender;
    const char *recipients[WORLD_RCPTS]; /* ends with NULL */
    const char *drop_file;
    const char *original; /* of each; NULL: the same */
    const char *expanded; /* the alias that they came from, or NULL */
    uint32_t notify;      /* of all */
    uint32_t flags;
    size_t body; /* octets */
    const struct attempt *settles;
    const uint32_t *indexes;
    size_t index_count;
    const struct rcpt_result *result; /* of those, for the sender */
    bool settle_only;
};

WORLD_FN void
world_put_settle(const struct world_mail *mail, struct buf *to)
{
    struct buf one;

    buf_init(&one, 65536);
    attempt_encode(mail->settles, ATTR_TOKEN, &one);
    for (size_t i = 0; i < mail->index_count; i++)
        tlv_put_u64(&one, ATTR_RCPT_INDEX, mail->indexes[i]);
    if (mail->result != NULL)
        rcpt_result_encode(mail->result, ATTR_RCPT_RESULT, &one);
    tlv_put(to, ATTR_SETTLE, buf_slice(&one));
    buf_fini(&one);
}

WORLD_FN struct msg_in *
world_msg(struct slice body)
{
    struct msg_in *in = mem_alloc(sizeof(*in) + body.len);

    if (body.len > 0)
        memcpy(in + 1, body.ptr, body.len);
    in->type = MESSAGE_SUBMIT;
    in->body = (struct slice){ (const char *)(in + 1), body.len };
    return in;
}

/* told, if given, gets the answer when it comes. */
WORLD_FN void
world_submit_as(struct world *w, uint64_t id, const struct world_mail *mail,
    enum result *told)
{
    struct envelope env = {
        .id = id,
        .arrival_us = clock_wall_us(),
        .size = 300 + mail->body,
        .flags = mail->flags,
        .sender = slice_of(mail->sender),
        .drop_file = slice_of(mail->drop_file),
    };
    struct arena arena;
    struct buf envelope, body;
    char *octets = mem_alloc(mail->body + 1);
    struct why why;

    memset(octets, 'x', mail->body);
    arena_init(&arena, 1 << 20);
    buf_init(&envelope, 1 << 20);
    buf_init(&body, 1 << 24);
    for (size_t i = 0; mail->recipients[i] != NULL; i++) {
        struct recipient r = { .address = slice_of(mail->recipients[i]),
            .original = slice_of(mail->original),
            .notify = mail->notify };

        assert_int_equal(envelope_add_recipient(&env, &arena, &r, &why),
            RESULT_OK);
    }
    if (mail->expanded != NULL) {
        struct recipient r = { .address = slice_of(mail->expanded),
            .notify = NOTIFY_SUCCESS,
            .expanded = 1 };

        assert_int_equal(envelope_add_recipient(&env, &arena, &r, &why),
            RESULT_OK);
    }
    envelope_encode(&env, &envelope);
    tlv_put(&body, ATTR_ENVELOPE, buf_slice(&envelope));
    tlv_put(&body, ATTR_HEADER, SLICE_LIT("Subject: test\r\n"));
    tlv_put(&body, ATTR_BODY, (struct slice){ octets, mail->body });
    if (mail->settles != NULL)
        world_put_settle(mail, &body);
    if (mail->settle_only)
        tlv_put_u64(&body, ATTR_PRIVATE, 1);
    assert_false(buf_failed(&body));
    intake_submit(&w->q, told == NULL ? (void *)w : told, w,
        w->place == 0 ? 1 : w->place, world_msg(buf_slice(&body)));
    buf_fini(&envelope);
    buf_fini(&body);
    arena_clear(&arena);
    mem_free(octets);
}

/* A message to r0@d0.test, r1@d1.test ..., over so many destinations. */
WORLD_FN void
world_submit_list(struct world *w, uint64_t id, size_t count,
    unsigned destinations)
{
    struct envelope env = {
        .id = id,
        .arrival_us = clock_wall_us(),
        .size = 300,
        .sender = SLICE_LIT("list@senders.test"),
    };
    struct arena arena;
    struct buf envelope, body;
    struct why why;

    arena_init(&arena, 1 << 28);
    buf_init(&envelope, 1 << 28);
    buf_init(&body, 1 << 28);
    for (size_t i = 0; i < count; i++) {
        char name[48];
        int n = snprintf(name, sizeof(name), "r%zu@d%zu.test", i,
            i % destinations);
        struct recipient r = { .address = { name, (size_t)n } };

        assert_int_equal(envelope_add_recipient(&env, &arena, &r, &why),
            RESULT_OK);
    }
    envelope_encode(&env, &envelope);
    tlv_put(&body, ATTR_ENVELOPE, buf_slice(&envelope));
    tlv_put(&body, ATTR_HEADER, SLICE_LIT("Subject: list\r\n"));
    assert_false(buf_failed(&body));
    intake_submit(&w->q, w, w, 1, world_msg(buf_slice(&body)));
    buf_fini(&envelope);
    buf_fini(&body);
    arena_clear(&arena);
}

/* 0: the disk is too full even for that. */
WORLD_FN uint64_t
world_lease_try(struct world *w)
{
    if (w->lease_count == 0) {
        lease_ask(&w->q, w, 16);
        while (w->lease_count == 0 && world_step_txn(w))
            ;
        if (w->lease_count == 0)
            return 0;
    }
    w->lease_count--;
    return w->next_id++;
}

WORLD_FN uint64_t
world_lease(struct world *w)
{
    uint64_t id = world_lease_try(w);

    assert_true(id != 0);
    return id;
}

WORLD_FN uint64_t
world_submit(struct world *w, const struct world_mail *mail)
{
    uint64_t id = world_lease(w);

    world_submit_as(w, id, mail, NULL);
    return id;
}

/* Time. */

/* Everything but errands: disk, lookup and the core itself. */
WORLD_FN void
world_settle(struct world *w)
{
    bool more = true;

    while (more) {
        qmgr_pump(&w->q);
        more = w->q.woken;
        while ((!w->lookup_waits && world_step_route(w)) || world_step_disk(w))
            more = true;
        while (!w->disk_fails && world_step_txn(w))
            more = true;
        if (w->disk_fails)
            for (size_t n = world_count(&w->txns); n > 0; n--)
                (void)world_step_txn(w);
    }
}

/* Time goes on; timers fire when they are due. */
WORLD_FN void
world_pass_ms(struct world *w, int64_t ms)
{
    int64_t end = clock_now_ms() + ms;

    for (;;) {
        int64_t next;

        world_settle(w);
        next = qmgr_next_ms(&w->q);
        if (gather_due_ms(&w->gathered) < next)
            next = gather_due_ms(&w->gathered);
        if (next > end)
            break;
        if (next > clock_now_ms())
            clock_advance_ms(next - clock_now_ms());
    }
    clock_advance_ms(end - clock_now_ms());
    world_settle(w);
}

/* Life and death. */

WORLD_FN bool
world_found(void *context, const struct spool_found *f, struct why *why)
{
    struct world *w = context;

    w->spool = f->spool;
    return recover_found(&w->q, f, why);
}

WORLD_FN void
world_damage(void *context, const char *text)
{
    (void)context;
    fail_msg("damage: %s", text);
}

WORLD_FN void
world_open_spool(struct world *w)
{
    struct spool_options options = {
        .disk = disk_sim_disk(w->sim),
        .dir = disk_sim_root(w->sim),
        .segment_size = w->segment_size,
    };
    struct why why;

    if (spool_open(&options, world_found, world_damage, w, &w->spool, &why) !=
        RESULT_OK)
        fail_msg("spool: %s", why.text);
    recover_sweep(&w->q, w->spool);
}

WORLD_FN void
world_begin(struct world *w)
{
    if (w->before_begin != NULL)
        w->before_begin(w);
    late_begin(&w->q);
    recover_end(&w->q);
}

WORLD_FN void
world_start(struct world *w)
{
    struct stored *meta = NULL;
    struct why why;

    w->frozen = false;
    w->lease_count = 0;
    qmgr_init(&w->q, &world_outside, w, w->set);
    if (w->sim != NULL) {
        world_open_spool(w);
        world_begin(w);
        return;
    }
    list_foreach (it, &w->log) {
        struct stored *s = LIST_ENTRY(it, struct stored, link);

        if (s->type == RECORD_META && !s->dead)
            meta = s;
    }
    if (meta != NULL) {
        struct spool_found f = { .type = RECORD_META,
            .place = meta->place,
            .head = { meta->head, meta->head_len } };

        assert_true(recover_found(&w->q, &f, &why));
    }
    list_foreach (it, &w->log) {
        struct stored *s = LIST_ENTRY(it, struct stored, link);
        bool removed = false;

        if (s->type != RECORD_MESSAGE)
            continue;
        list_foreach (at, &w->log) {
            struct stored *r = LIST_ENTRY(at, struct stored, link);

            removed |= r->type == RECORD_REMOVE && r->id == s->id;
        }
        if (removed)
            continue;
        /* The cleaner may have dropped what died: it is as if it did. */
        assert_false(s->dead);
        for (struct list *at = it; at != &w->log; at = at->next) {
            struct stored *r = LIST_ENTRY(at, struct stored, link);
            struct spool_found f = { .type = r->type,
                .id = r->id,
                .place = r->place,
                .blob = r->blob,
                .brief = { r->brief, r->brief_len } };

            if (r->id == s->id && !r->dead)
                assert_true(recover_found(&w->q, &f, &why));
        }
    }
    world_begin(w);
}

__attribute__((unused)) static const char world_master_cf[] =
    "smtp unix - - n - - smtp\n"
    "slow unix - - n - 2 smtp\n"
    "local unix - n n - - local\n"
    "error unix - - n - - error\n"
    "retry unix - - n - - error\n"
    "discard unix - - n - - discard\n"
    "bounce unix - - n - 0 bounce\n"
    "qmgr unix n - n 300 1 qmgr\n";

/* set is held. sim, if given, is the world's from now on. */
WORLD_FN void
world_open_on(struct world *w, struct config_set *set, struct disk_sim *sim,
    uint64_t segment_size)
{
    *w = (struct world){ .sim = sim, .segment_size = segment_size };
    list_init(&w->log);
    list_init(&w->txns);
    gather_init(&w->gathered);
    list_init(&w->disk);
    list_init(&w->errands);
    list_init(&w->asked);
    clock_set(1000000, 1700000000 * (int64_t)1000000);
    w->set = config_hold(set);
    world_start(w);
}

WORLD_FN void
world_open_set(struct world *w, struct config_set *set)
{
    world_open_on(w, set, NULL, 0);
}

WORLD_FN void
world_open(struct world *w, const char *main_cf)
{
    struct config_set *set;
    struct why why;

    assert_int_equal(config_from_text(main_cf, world_master_cf, &set, &why),
        RESULT_OK);
    world_open_set(w, set);
    config_drop(set);
}

WORLD_FN void
world_no_log(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    (void)line;
}

/*
 * From now on nothing becomes durable; what was not is lost. On a simulated
 * disk the cut decides about what was written and not flushed.
 */
WORLD_FN void
world_crash_by(struct world *w, enum cut cut, uint64_t seed)
{
    struct disk_sim *rest = w->sim == NULL ? NULL
                                           : disk_sim_cut(w->sim, cut, seed);
    struct list *it;

    w->frozen = true;
    w->settle_delay_ms = 0;
    gather_take(&w->gathered, &w->txns);
    qmgr_stop(&w->q);
    while (!list_empty(&w->txns) || !list_empty(&w->disk) ||
        !list_empty(&w->errands) || !list_empty(&w->asked)) {
        while ((it = list_take(&w->asked)) != NULL)
            mem_free(LIST_ENTRY(it, struct asked, link));
        while (!list_empty(&w->errands))
            world_kill(w, world_errand(w, 0));
        while (world_step_disk(w) || world_step_txn(w))
            ;
    }
    list_foreach_safe (at, &w->q.agents)
        agent_gone(&w->q, LIST_ENTRY(at, struct agent, link));
    qmgr_fini(&w->q);
    if (w->sim == NULL)
        return;
    /* What it writes in the end goes to the disk that is thrown away. */
    spool_close(w->spool);
    w->spool = NULL;
    disk_sim_free(w->sim);
    w->sim = rest;
}

WORLD_FN void
world_crash(struct world *w)
{
    world_crash_by(w, CUT_LOST, 0);
}

WORLD_FN void
world_close_all(struct world *w)
{
    struct list *it;

    world_crash(w);
    while ((it = list_take(&w->log)) != NULL) {
        struct stored *s = LIST_ENTRY(it, struct stored, link);

        mem_free(s->brief);
        mem_free(s->head);
        mem_free(s->content);
        mem_free(s);
    }
    if (w->sim != NULL)
        disk_sim_free(w->sim);
    config_drop(w->set);
    clock_unset();
}

/* Nothing of any message is needed any more. */
WORLD_FN void
world_assert_empty(struct world *w)
{
    assert_int_equal(w->q.index.entries.count, 0);
    assert_int_equal(w->q.index.parts.count, 0);
    assert_int_equal(w->q.held_octets, 0);
    assert_int_equal(w->q.active_recipients, 0);
    assert_int_equal(w->q.jobs_out, 0);
    assert_int_equal(w->q.bundles.count, 0);
    assert_int_equal(w->q.questions.count, 0);
    list_foreach (it, &w->log) {
        struct stored *s = LIST_ENTRY(it, struct stored, link);

        if (s->type != RECORD_META && s->type != RECORD_REMOVE)
            assert_true(s->dead);
    }
}
