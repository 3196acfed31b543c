/*
 * qmgr_world_disk - the spool of a world: a list of records, to which a
 * transaction is added, or fails; or a spool on a simulated disk. The test says
 * when something becomes durable, and what a start finds is what did.
 */
#pragma once

#include "lib/base/clock.h"
#include "qmgr/cleaning.h"
#include "qmgr/recover.h"
#include "tests/unit/qmgr_world_state.h"

#include <fcntl.h>
#include <unistd.h>

/* What the core asks for. */

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

WORLD_FN uint64_t
world_txn_max(void *context)
{
    struct world *w = context;

    return w->spool == NULL ? SPOOL_SEGMENT_MAX : spool_txn_max(w->spool);
}

WORLD_FN bool
world_has_room(void *context, uint64_t octets)
{
    struct world *w = context;

    if (w->no_room != 0 && octets >= w->no_room)
        return false;
    return w->spool == NULL || spool_has_room(w->spool, octets);
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

/* How it becomes durable. */

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

/* Reading. */

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

/* The cleaner moves it; what was just to be read is not there any more. */
WORLD_FN void
world_move(struct world *w, struct stored *s)
{
    struct spool_move move = {
        .found = { .type = s->type, .id = s->id, .place = s->place },
        .moved = true,
        .to = { 1, ++w->offset, 1 },
    };

    s->moves++;
    assert_true(index_moved(&w->q.index, &move));
    s->place = move.to;
}

WORLD_FN void
world_read(struct world *w, struct disk_job *j)
{
    struct stored *s;

    if (w->before_read != NULL)
        w->before_read(w, j);
    s = world_stored(w, &j->place);
    if (s == NULL && w->before_read != NULL) {
        j->result = why_temp(&j->why, "4.3.0", "is not there any more");
        return;
    }
    assert_non_null(s);
    assert_true(s->id == j->id);
    buf_add(&j->head, (struct slice){ s->head, s->head_len });
    if (j->task == DISK_READ)
        buf_add(&j->content, (struct slice){ s->content, s->content_len });
}

WORLD_FN bool
world_step_disk(struct world *w)
{
    struct list *it = list_take(&w->disk);
    struct disk_job *j;

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
        world_read(w, j);
    }
    if (j->task == DISK_LEND)
        j->fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    disk_job_done(&w->q, j);
    return true;
}

/* What a start finds. */

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

/* The last one counts. */
WORLD_FN void
world_find_meta(struct world *w)
{
    const struct stored *meta = NULL;
    struct why why;

    list_foreach (it, &w->log) {
        const struct stored *s = LIST_ENTRY(it, struct stored, link);

        if (s->type == RECORD_META && !s->dead)
            meta = s;
    }
    if (meta != NULL) {
        struct spool_found f = { .type = RECORD_META,
            .place = meta->place,
            .head = { meta->head, meta->head_len } };

        assert_true(recover_found(&w->q, &f, &why));
    }
}

WORLD_FN bool
world_was_removed(struct world *w, uint64_t id)
{
    list_foreach (it, &w->log) {
        const struct stored *s = LIST_ENTRY(it, struct stored, link);

        if (s->type == RECORD_REMOVE && s->id == id)
            return true;
    }
    return false;
}

/* A message and what was written of it later. */
WORLD_FN void
world_find_message(struct world *w, const struct stored *message)
{
    struct why why;

    /* The cleaner may have dropped what died: it is as if it did. */
    assert_false(message->dead);
    for (const struct list *at = &message->link; at != &w->log; at = at->next) {
        const struct stored *r = LIST_ENTRY_CONST(at, struct stored, link);
        struct spool_found f = { .type = r->type,
            .id = r->id,
            .place = r->place,
            .blob = r->blob,
            .brief = { r->brief, r->brief_len } };

        if (r->id == message->id && !r->dead)
            assert_true(recover_found(&w->q, &f, &why));
    }
}

WORLD_FN void
world_find_all(struct world *w)
{
    world_find_meta(w);
    list_foreach (it, &w->log) {
        const struct stored *s = LIST_ENTRY(it, struct stored, link);

        if (s->type == RECORD_MESSAGE && !world_was_removed(w, s->id))
            world_find_message(w, s);
    }
}
