/*
 * Space: segments are recycled, the cleaner keeps what is in use in proportion
 * to what is live, and a full disk refuses fresh mail without stopping the
 * queue from emptying.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "tests/unit/spool_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { KEPT_MAX = 4096, CONTENT = 3000, SEGMENT = 128 * 1024 };

/* An owner that knows its messages, by their ids. */
struct owner {
    struct fixture *x;
    struct spool_place message[KEPT_MAX], content[KEPT_MAX];
    uint64_t oldest, next;
};

static bool
is_live(void *context, const struct spool_found *f)
{
    const struct owner *o = context;
    const struct spool_place *at = f->type == RECORD_CONTENT
        ? &o->content[f->id % KEPT_MAX]
        : &o->message[f->id % KEPT_MAX];

    return at->segment == f->place.segment && at->offset == f->place.offset;
}

static void
moved(void *context, enum record_type type, uint64_t id,
    const struct spool_place *from, const struct spool_place *to)
{
    struct owner *o = context;

    (void)from;
    if (type == RECORD_CONTENT)
        o->content[id % KEPT_MAX] = *to;
    else
        o->message[id % KEPT_MAX] = *to;
}

static struct owner *
owner_new(struct fixture *x)
{
    struct owner *o = mem_alloc(sizeof(*o));

    o->x = x;
    o->oldest = o->next = 1;
    return o;
}

static enum result
add(struct owner *o, struct why *why)
{
    enum result res = fixture_message(o->x, o->next, CONTENT,
        &o->message[o->next % KEPT_MAX], why);

    if (res == RESULT_OK)
        o->next++;
    else
        o->message[o->next % KEPT_MAX] = (struct spool_place){ 0 };
    return res;
}

static void
drop_one(struct owner *o, uint64_t id)
{
    if (o->message[id % KEPT_MAX].segment == 0)
        return;
    fixture_remove(o->x, id, &o->message[id % KEPT_MAX]);
    spool_record_dead(o->x->spool, &o->content[id % KEPT_MAX]);
    o->message[id % KEPT_MAX] = (struct spool_place){ 0 };
    o->content[id % KEPT_MAX] = (struct spool_place){ 0 };
}

static void
drop_oldest(struct owner *o)
{
    drop_one(o, o->oldest++);
}

static void
clean(struct owner *o)
{
    const struct spool_cleaner cleaner = { is_live, moved, o };

    while (spool_clean(o->x->spool, &cleaner))
        continue;
}

static void
check_bound(struct owner *o)
{
    struct spool_stats st;

    spool_stats(o->x->spool, &st);
    if (st.octets_used > 2 * st.octets_live + 4 * SEGMENT)
        fail_msg("%llu octets in use for %llu live",
            (unsigned long long)st.octets_used,
            (unsigned long long)st.octets_live);
}

/* A short queue that many messages pass: nothing grows. */
static void
test_passing(void **state)
{
    struct owner *o = owner_new(*state);
    struct spool_stats st;
    struct why why;

    for (unsigned i = 0; i < 2000; i++) {
        assert_int_equal(add(o, &why), RESULT_OK);
        if (o->next - o->oldest > 5)
            drop_oldest(o);
        clean(o);
        check_bound(o);
    }
    spool_stats(o->x->spool, &st);
    assert_true(st.segments <= 8);
    assert_true(st.cleaned >= 2000 * CONTENT / SEGMENT - 4);
    fixture_restart(o->x);
    assert_int_equal(o->x->found_count, 5);
    mem_free(o);
}

/* As long as the queue empties now and then, one file is enough. */
static void
test_small(void **state)
{
    struct owner *o = owner_new(*state);
    struct spool_stats st;
    struct why why;

    for (unsigned i = 0; i < 300; i++) {
        assert_int_equal(add(o, &why), RESULT_OK);
        drop_oldest(o);
        clean(o);
    }
    spool_stats(o->x->spool, &st);
    assert_int_equal(st.segments, 1);
    assert_true(disk_sim_used(o->x->sim) <= SEGMENT + 8192);
    mem_free(o);
}

/* A backlog, of which one in ten stays: the rest of its space comes back. */
static void
test_sparse(void **state)
{
    struct owner *o = owner_new(*state);
    struct spool_stats st;
    struct why why;

    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(add(o, &why), RESULT_OK);
    for (uint64_t id = 1; id < o->next; id++) {
        if (id % 10 != 0)
            drop_one(o, id);
        if (id % 50 == 0) {
            clean(o);
            check_bound(o);
        }
    }
    clean(o);
    check_bound(o);
    spool_stats(o->x->spool, &st);
    assert_true(st.copied_octets > 0);
    for (uint64_t id = 10; id < o->next; id += 10)
        fixture_check_content(o->x, id, CONTENT,
            o->content[id % KEPT_MAX].segment != 0
                ? &o->content[id % KEPT_MAX]
                : &o->message[id % KEPT_MAX]);
    fixture_restart(o->x);
    for (uint64_t id = 1; id < o->next; id++)
        assert_int_equal(fixture_find(o->x, RECORD_MESSAGE, id) != NULL,
            id % 10 == 0);
    mem_free(o);
}

/* An old message must not make the cleaner keep all REMOVEs since. */
static void
test_old_message(void **state)
{
    struct owner *o = owner_new(*state);
    struct spool_stats st;
    struct why why;

    /* A backlog that stays; then much that passes. */
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(add(o, &why), RESULT_OK);
    for (unsigned i = 0; i < 3000; i++) {
        assert_int_equal(add(o, &why), RESULT_OK);
        drop_one(o, o->next - 1);
        clean(o);
    }
    spool_stats(o->x->spool, &st);
    check_bound(o);
    /* 200 messages and hardly a REMOVE. */
    assert_true(st.octets_live < 200 * (CONTENT + 400));
    mem_free(o);
}

static void
fill_up(struct owner *o)
{
    struct why why;

    while (add(o, &why) == RESULT_OK)
        assert_true(o->next < KEPT_MAX);
    assert_string_equal(why.status, "4.3.1");
    assert_false(spool_has_room(o->x->spool, CONTENT));
}

static void
test_full_disk(void **state)
{
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    struct why why;
    uint64_t last;

    disk_sim_set_capacity(x->sim, 20 * SEGMENT);
    fill_up(o);
    last = o->next;
    assert_true(last > 10 * SEGMENT / (CONTENT + 1096));
    /* Settling goes on: a status for each, and its end. */
    for (uint64_t id = 1; id < last; id++) {
        struct spool_place status = fixture_put(x, RECORD_STATUS, id,
            "deferred: try later", "");

        drop_oldest(o);
        spool_record_dead(x->spool, &status);
        clean(o);
    }
    clock_advance_ms(2000);
    assert_true(spool_has_room(x->spool, CONTENT));
    /* Space has come back by itself. */
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(add(o, &why), RESULT_OK);
    fixture_restart(x);
    assert_int_equal(x->damage_count, 0);
    mem_free(o);
}

/* Not an octet is left: what is there can be opened, told and emptied. */
static void
test_start_on_a_full_disk(void **state)
{
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    struct spool_identity before, after;
    struct why why;

    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(add(o, &why), RESULT_OK);
    spool_identity(x->spool, &before);
    disk_sim_set_capacity(x->sim, disk_sim_used(x->sim));
    for (unsigned i = 1; i <= 10; i++) {
        fixture_kill(x);
        fixture_start(x);
        spool_identity(x->spool, &after);
        assert_true(after.epoch == before.epoch + i);
        assert_int_equal(x->damage_count, 0);
        assert_int_equal(x->found_count, 20);
    }
    for (size_t k = 0; k < x->found_count; k++)
        o->message[x->found[k].id % KEPT_MAX] = x->found[k].place;
    drop_oldest(o); /* within what is kept for settling */
    fixture_restart(x);
    assert_int_equal(x->found_count, 19);
    mem_free(o);
}

static void
count_line(void *context, enum log_level level, const char *tag,
    struct slice line)
{
    unsigned *lines = context;

    (void)level;
    (void)tag;
    (void)line;
    (*lines)++;
}

/*
 * What the cleaner had no space for waits a minute. Until then the rest, which
 * is as dense as it can be, is not copied over and over in its place.
 */
static void
test_no_space_to_clean(void **state)
{
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    const struct spool_cleaner cleaner = { is_live, moved, o };
    struct why why;
    unsigned steps, lines = 0;

    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(add(o, &why), RESULT_OK);
    for (uint64_t id = 1; id < o->next; id++)
        if (id % 3 != 0)
            drop_one(o, id);
    disk_sim_fail(x->sim,
        &(struct disk_fault){
            .first = disk_sim_calls(x->sim) + 1,
            .count = 1000,
            .err = ENOSPC,
        });
    log_set_sink(count_line, NULL, &lines);
    for (unsigned i = 0; i < 20; i++) {
        clean(o);
        clock_advance_ms(1001);
    }
    log_set_sink(NULL, NULL, NULL);
    assert_int_equal(lines, 20);
    disk_sim_fail(x->sim, &(struct disk_fault){ 0 });
    for (unsigned i = 0; i < 2000; i++, o->next++)
        assert_int_equal(fixture_message(x, o->next, 0,
                             &o->message[o->next % KEPT_MAX], &why),
            RESULT_OK);
    for (steps = 0; steps < 1000 && spool_clean(x->spool, &cleaner); steps++)
        continue;
    assert_in_range(steps, 1, 200);
    clock_advance_ms(60 * 1000);
    clean(o);
    check_bound(o);
    mem_free(o);
}

/* What was copied in vain takes nothing from what is needed. */
static void
test_failed_copy(void **state)
{
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    const struct spool_cleaner cleaner = { is_live, moved, o };
    struct spool_stats before, after;
    unsigned lines = 0;
    struct why why;

    for (unsigned i = 0; i < 600; i++)
        assert_int_equal(add(o, &why), RESULT_OK);
    for (uint64_t id = 1; id < o->next; id++)
        if (id % 3 != 0)
            drop_one(o, id);
    do {
        assert_true(spool_clean(x->spool, &cleaner));
        spool_stats(x->spool, &before);
    } while (before.copied_octets == 0);
    disk_sim_fail(x->sim,
        &(struct disk_fault){
            .first = disk_sim_calls(x->sim) + 1,
            .count = 1,
            .err = ENOSPC,
        });
    log_set_sink(count_line, NULL, &lines);
    (void)spool_clean(x->spool, &cleaner);
    log_set_sink(NULL, NULL, NULL);
    assert_int_equal(lines, 1);
    spool_stats(x->spool, &after);
    assert_int_equal(before.copied_octets, after.copied_octets);
    assert_int_equal(before.octets_live, after.octets_live);
    mem_free(o);
}

/* A segment that could not be made, nor its file removed: others can. */
static void
test_file_left_behind(void **state)
{
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    struct why why;
    unsigned refused = 0;

    for (unsigned i = 0; i < 400; i++) {
        disk_sim_fail(x->sim,
            &(struct disk_fault){
                .first = disk_sim_calls(x->sim) + 3,
                .count = 6,
                .err = EIO,
            });
        refused += add(o, &why) != RESULT_OK;
    }
    assert_true(refused > 0);
    disk_sim_fail(x->sim, &(struct disk_fault){ 0 });
    for (unsigned i = 0; i < 400; i++)
        if (add(o, &why) != RESULT_OK)
            fail_msg("%s", why.text);
    fixture_restart(x);
    assert_int_equal(x->found_count, o->next - 1);
    mem_free(o);
}

/* The index block of a sealed segment, as its trailer says. */
static void
spoil_index(struct fixture *x, const char *segment)
{
    unsigned char trailer[64];
    uint32_t index_at;

    assert_int_equal(disk_sim_file_read(x->sim, "segment", segment,
                         SEGMENT - 4096, trailer, sizeof(trailer)),
        sizeof(trailer));
    memcpy(&index_at, trailer + 28, sizeof(index_at));
    assert_true(disk_sim_rot(x->sim, "segment", segment,
        index_at * (uint64_t)4096 + 40, 1));
}

/* One segment whose index cannot be read must not keep all others in use. */
static void
test_index_that_rotted(void **state)
{
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    struct spool_stats st;
    struct why why;

    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(add(o, &why), RESULT_OK);
    spoil_index(x, "0001");
    while (o->oldest < o->next)
        drop_oldest(o);
    for (unsigned i = 0; i < 50; i++) {
        clean(o);
        clock_advance_ms(1001);
    }
    spool_stats(x->spool, &st);
    assert_in_range(st.octets_used, SEGMENT, 3 * SEGMENT);
    /* The next start reads the batches, and then it goes as well. */
    fixture_restart(x);
    assert_int_equal(x->damage_count, 1);
    assert_int_equal(x->found_count, 0);
    for (unsigned i = 0; i < 50; i++) {
        clean(o);
        clock_advance_ms(1001);
    }
    spool_stats(x->spool, &st);
    assert_in_range(st.octets_used, 0, 2 * SEGMENT);
    mem_free(o);
}

/* Others fill the file system, and make room again. */
static void
test_min_free(void **state)
{
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    struct why why;

    spool_close(x->spool);
    x->options.min_free = 4 * SEGMENT;
    fixture_start(x);
    assert_int_equal(add(o, &why), RESULT_OK);
    disk_sim_set_capacity(x->sim, disk_sim_used(x->sim) + 2 * SEGMENT);
    clock_advance_ms(2000);
    assert_int_equal(add(o, &why), RESULT_TEMPFAIL);
    assert_string_equal(why.status, "4.3.1");
    assert_false(spool_has_room(x->spool, CONTENT));
    drop_oldest(o); /* settles */
    disk_sim_set_capacity(x->sim, disk_sim_used(x->sim) + 20 * SEGMENT);
    clock_advance_ms(2000);
    assert_true(spool_has_room(x->spool, CONTENT));
    assert_int_equal(add(o, &why), RESULT_OK);
    mem_free(o);
}

/* Until there is no more; returns how many pieces there were. */
static unsigned
take_room(struct fixture *x, uint64_t octets)
{
    unsigned n = 0, tries = 0;

    while (tries++ < 10) {
        for (; spool_room_take(x->spool, octets); n++)
            tries = 0;
        spool_look(x->spool);
    }
    return n;
}

/* What is set aside for deliveries under way is not for fresh mail. */
static void
test_room_taken(void **state)
{
    enum { PIECE = 4096 };
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    unsigned pieces;
    struct why why;

    disk_sim_set_capacity(x->sim, 20 * SEGMENT);
    assert_int_equal(add(o, &why), RESULT_OK);
    pieces = take_room(x, PIECE);
    assert_in_range(pieces, 12 * SEGMENT / PIECE, 20 * SEGMENT / PIECE);
    for (unsigned n = 0; add(o, &why) == RESULT_OK; n++)
        assert_in_range(n, 0, 3);
    while (pieces-- > 0)
        spool_room_give(x->spool, PIECE);
    clock_advance_ms(2000);
    assert_true(spool_has_room(x->spool, CONTENT));
    assert_int_equal(add(o, &why), RESULT_OK);
    mem_free(o);
}

/* Others fill the disk afterwards: what was set aside is there. */
static void
test_room_is_sure(void **state)
{
    enum { PIECE = 4096 };
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    struct spool_place status = { 0 };
    unsigned pieces = 0, first;
    struct why why;

    assert_int_equal(add(o, &why), RESULT_OK);
    while (pieces < 3 * SEGMENT / PIECE) {
        pieces += spool_room_take(x->spool, PIECE);
        spool_look(x->spool);
    }
    disk_sim_set_capacity(x->sim, disk_sim_used(x->sim));
    first = take_room(x, PIECE); /* what was ready besides */
    pieces += first;
    for (; pieces > 0; pieces--) {
        struct spool_place before = status;

        status = fixture_put(x, RECORD_STATUS, 1, "deferred: try later", "");
        if (before.segment != 0)
            spool_record_dead(x->spool, &before);
        spool_room_give(x->spool, PIECE);
    }
    mem_free(o);
}

/* A flush that fails: the batch goes elsewhere, nobody notices. */
static void
test_failed_flush(void **state)
{
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    struct spool_stats st;
    struct why why;

    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(add(o, &why), RESULT_OK);
    /* The write is the next call, the flush the one after. */
    disk_sim_fail(x->sim,
        &(struct disk_fault){
            .first = disk_sim_calls(x->sim) + 2,
            .count = 1,
            .err = EIO,
        });
    assert_int_equal(add(o, &why), RESULT_OK);
    spool_stats(x->spool, &st);
    assert_int_equal(st.closed, 1);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(add(o, &why), RESULT_OK);
    /* The cleaner empties the closed one and gives it up. */
    clean(o);
    assert_int_equal(disk_sim_file_length(x->sim, "segment", "0000"), -1);
    fixture_restart(x);
    assert_int_equal(x->found_count, 11 + 5); /* contents apart */
    assert_int_equal(x->damage_count, 0);
    mem_free(o);
}

/* Nothing works: it is told, and works again when the disk does. */
static void
test_dead_disk(void **state)
{
    struct fixture *x = *state;
    struct owner *o = owner_new(x);
    struct why why;

    assert_int_equal(add(o, &why), RESULT_OK);
    disk_sim_fail(x->sim,
        &(struct disk_fault){
            .first = disk_sim_calls(x->sim) + 1,
            .count = 1000,
            .err = EIO,
        });
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(add(o, &why), RESULT_TEMPFAIL);
        assert_string_equal(why.status, "4.3.0");
    }
    disk_sim_fail(x->sim, &(struct disk_fault){ 0 });
    assert_int_equal(add(o, &why), RESULT_OK);
    fixture_restart(x);
    assert_int_equal(x->found_count, 2);
    mem_free(o);
}

/* The size of segments may change between starts, both ways. */
static void
test_other_size(void **state)
{
    struct owner *o = owner_new(*state);
    struct fixture *x = o->x;
    struct why why;

    static const uint64_t sizes[] = { 256 * 1024, 64 * 1024, 128 * 1024 };
    uint64_t count = 0;

    for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(add(o, &why), RESULT_OK);
        count += 100;
        spool_close(x->spool);
        x->options.segment_size = sizes[k];
        fixture_start(x);
        assert_int_equal(x->damage_count, 0);
        assert_int_equal(x->found_count, count);
        for (size_t i = 0; i < x->found_count; i++) {
            uint64_t id = x->found[i].id;

            o->message[id % KEPT_MAX] = x->found[i].place;
            fixture_check_content(x, id, CONTENT, &x->found[i].place);
        }
    }
    while (o->oldest < o->next)
        drop_oldest(o);
    clean(o);
    fixture_restart(x);
    assert_int_equal(x->found_count, 0);
    mem_free(o);
}

int
main(void)
{
#define ON_SIM(test) \
    cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        ON_SIM(test_passing),
        ON_SIM(test_small),
        ON_SIM(test_sparse),
        ON_SIM(test_old_message),
        ON_SIM(test_full_disk),
        ON_SIM(test_start_on_a_full_disk),
        ON_SIM(test_no_space_to_clean),
        ON_SIM(test_failed_copy),
        ON_SIM(test_file_left_behind),
        ON_SIM(test_index_that_rotted),
        ON_SIM(test_min_free),
        ON_SIM(test_room_taken),
        ON_SIM(test_room_is_sure),
        ON_SIM(test_failed_flush),
        ON_SIM(test_dead_disk),
        ON_SIM(test_other_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
