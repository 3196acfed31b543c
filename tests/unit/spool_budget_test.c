/*
 * What the cleaner takes of the disk while mail flows, and that what is in use
 * stays in proportion to what is live all the same.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "qmgr/spool/budget.h"
#include "tests/unit/spool_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MOST = 20000, CONTENT = 3000, SEGMENT = 128 * 1024 };

struct queue {
    struct fixture *x;
    struct spool_place message[MOST], content[MOST];
    uint64_t next;
    uint64_t mail_flushes; /* commits of ours, each with a flush */
    int64_t began_ms;
    struct spool_stats began;
};

static bool
is_live(void *context, const struct spool_found *f)
{
    const struct queue *q = context;
    const struct spool_place *at = f->type == RECORD_CONTENT
        ? &q->content[f->id]
        : &q->message[f->id];

    return at->segment == f->place.segment && at->offset == f->place.offset;
}

static void
moved(void *context, enum record_type type, uint64_t id,
    const struct spool_place *from, const struct spool_place *to)
{
    struct queue *q = context;

    (void)from;
    if (type == RECORD_CONTENT)
        q->content[id] = *to;
    else
        q->message[id] = *to;
}

static struct queue *
queue_new(struct fixture *x)
{
    struct queue *q = mem_alloc(sizeof(*q));

    q->x = x;
    q->next = 1;
    random_set_seed(7);
    return q;
}

static uint64_t
add(struct queue *q)
{
    struct why why;

    assert_true(q->next < MOST);
    assert_int_equal(fixture_message(q->x, q->next, CONTENT,
                         &q->message[q->next], &why),
        RESULT_OK);
    q->mail_flushes++;
    return q->next++;
}

static void
drop(struct queue *q, uint64_t id)
{
    fixture_remove(q->x, id, &q->message[id]);
    spool_record_dead(q->x->spool, &q->content[id]);
    q->message[id] = q->content[id] = (struct spool_place){ 0 };
    q->mail_flushes++;
}

static bool
one_step(struct queue *q)
{
    const struct spool_cleaner cleaner = { is_live, moved, q };

    return spool_clean(q->x->spool, &cleaner);
}

/* Behind each commit the committer goes on with it as long as it may. */
static void
clean(struct queue *q)
{
    while (one_step(q))
        continue;
}

static void
begin(struct queue *q)
{
    spool_stats(q->x->spool, &q->began);
    q->mail_flushes = 0;
    q->began_ms = clock_now_ms();
}

/* What the cleaner wrote and read, and its flushes, as budget.h counts. */
static uint64_t
spent(const struct queue *q)
{
    struct spool_stats st;
    uint64_t octets, flushes;

    spool_stats(q->x->spool, &st);
    octets = 2 * (st.copied_octets - q->began.copied_octets);
    flushes = st.flushes - q->began.flushes;
    assert_true(flushes >= q->mail_flushes);
    return octets + (flushes - q->mail_flushes) * BUDGET_FLUSH;
}

static uint64_t
allowed(const struct queue *q)
{
    uint64_t mail = q->mail_flushes * (BUDGET_FLUSH + CONTENT);
    uint64_t floor = (uint64_t)(clock_now_ms() - q->began_ms) * BUDGET_FLOOR;

    /* And the last step, which may overdraw it. */
    return mail / BUDGET_SHARE + floor + 2 * SEGMENT + 4 * BUDGET_FLUSH;
}

static void
check_bound(const struct queue *q)
{
    struct spool_stats st;

    spool_stats(q->x->spool, &st);
    if (st.octets_used > 2 * st.octets_live + 4 * SEGMENT)
        fail_msg("%llu octets in use for %llu live, after %llu%s",
            (unsigned long long)st.octets_used,
            (unsigned long long)st.octets_live, (unsigned long long)q->next,
            spool_clean_waits(q->x->spool) ? ", waiting" : "");
}

/* An outage of some destinations: a part of all mail stays. */
static void
test_share(void **state)
{
    static const unsigned stays[] = { 3, 10, 20, 30, 40, 50, 80 };

    for (size_t k = 0; k < sizeof(stays) / sizeof(stays[0]); k++) {
        struct queue *q = queue_new(*state);

        begin(q);
        for (unsigned i = 0; i < 4000; i++) {
            uint64_t id = add(q);

            if (i % 5 == 0)
                clock_advance_ms(1);
            if (random_below(100) >= stays[k])
                drop(q, id);
            clean(q);
            check_bound(q);
            if (spent(q) > allowed(q))
                fail_msg("%u %%: the cleaner took %llu of %llu", stays[k],
                    (unsigned long long)spent(q),
                    (unsigned long long)allowed(q));
        }
        for (uint64_t id = 1; id < q->next; id++)
            if (q->message[id].segment != 0)
                drop(q, id);
        clock_advance_ms(BUDGET_IDLE_MS);
        clean(q);
        mem_free(q);
    }
}

/*
 * The outage ends: a backlog leaves while mail flows, faster than the cleaner
 * may follow. It does not take more for that, and when it is quiet the space
 * comes back.
 */
static void
test_after_an_outage(void **state)
{
    struct queue *q = queue_new(*state);
    struct spool_stats st;
    uint64_t backlog;

    for (unsigned i = 0; i < 4000; i++)
        (void)add(q);
    backlog = q->next;
    clock_advance_ms(BUDGET_IDLE_MS);
    clean(q);
    begin(q);
    for (uint64_t n = 1; n < backlog; n++) {
        uint64_t id = n * 1999 % backlog;

        if (id == 0 || id % 10 == 0)
            continue;
        drop(q, id);
        if (n % 4 == 0)
            drop(q, add(q));
        clean(q);
        /* As much as mail itself, once too much is in use. */
        assert_true(spent(q) <= BUDGET_SHARE * allowed(q));
    }
    /* Mail goes on, a little: the floor alone brings it back in time. */
    for (unsigned ms = 0; ms < 3000; ms += 10) {
        clock_advance_ms(10);
        drop(q, add(q));
        clean(q);
    }
    check_bound(q);
    spool_stats(q->x->spool, &st);
    /* The survivors were moved together. */
    assert_true(st.octets_used <= 2 * st.octets_live + 4 * SEGMENT);
    assert_true(st.octets_live < 400 * (CONTENT + 1000));
    for (uint64_t id = 10; id < backlog; id += 10)
        fixture_check_content(q->x, id, CONTENT,
            q->content[id].segment != 0 ? &q->content[id] : &q->message[id]);
    mem_free(q);
}

static bool
is_behind(const struct queue *q)
{
    struct spool_stats st;

    spool_stats(q->x->spool, &st);
    return st.octets_used > 2 * st.octets_live + 4 * SEGMENT;
}

/* Messages from one on, in one transaction: all that is not a tenth. */
static void
drop_most(struct queue *q, uint64_t from, uint64_t to)
{
    struct spool_record *removes = mem_alloc_array(to - from, sizeof(*removes));
    size_t n = 0;
    struct why why;

    for (uint64_t id = from; id < to; id++)
        if (id % 10 != 0)
            removes[n++] = (struct spool_record){ .type = RECORD_REMOVE,
                .id = id,
                .target = q->message[id] };
    assert_int_equal(fixture_commit(q->x, removes, n, true, &why), RESULT_OK);
    for (uint64_t id = from; id < to; id++)
        if (id % 10 != 0)
            spool_record_dead(q->x->spool, &q->message[id]);
    mem_free(removes);
}

/*
 * A backlog that died at once, while mail flows: the cleaner may take as much as
 * mail does until what is in use is below what is promised; then a quarter.
 */
static void
test_behind(void **state)
{
    enum { BACKLOG = 10000, GROUP = 100, SLACK = 2 * SEGMENT };
    struct queue *q = queue_new(*state);
    uint64_t mail;

    while (q->next <= BACKLOG)
        (void)add(q);
    for (uint64_t id = 1; id + GROUP <= BACKLOG; id += GROUP)
        drop_most(q, id, id + GROUP);
    for (uint64_t id = 1; id <= BACKLOG - GROUP; id++)
        if (id % 10 != 0)
            q->message[id] = (struct spool_place){ 0 };
    clean(q); /* what was saved up is spent */
    assert_true(spool_clean_waits(q->x->spool) && is_behind(q));
    begin(q);
    for (unsigned i = 0; i < 100; i++) {
        drop(q, add(q));
        clean(q);
        assert_true(is_behind(q));
    }
    mail = q->mail_flushes * (BUDGET_FLUSH + CONTENT);
    assert_in_range(spent(q), mail / 4 * 3, mail + mail / 4 + SLACK);
    while (is_behind(q)) {
        assert_true(q->next < MOST - 1);
        drop(q, add(q));
        clean(q);
    }
    mem_free(q);
}

/* Without mail there is nobody to be spared. */
static void
test_idle(void **state)
{
    struct queue *q = queue_new(*state);
    uint64_t last;

    for (unsigned i = 0; i < 4000; i++)
        (void)add(q);
    last = q->next;
    for (uint64_t id = 1; id < last; id++)
        if (id % 10 != 0)
            drop(q, id);
    begin(q);
    clock_advance_ms(BUDGET_IDLE_MS);
    clean(q);
    assert_false(spool_clean_waits(q->x->spool));
    assert_true(spent(q) > allowed(q));
    check_bound(q);
    mem_free(q);
}

static void
test_full_disk(void **state)
{
    struct queue *q = queue_new(*state);
    struct spool_stats st;
    uint64_t last;

    for (unsigned i = 0; i < 4000; i++)
        (void)add(q);
    last = q->next;
    for (uint64_t id = 1; id < last; id++)
        if (id % 10 != 0)
            drop(q, id);
    /* Others have filled the disk. */
    disk_sim_set_capacity(q->x->sim, disk_sim_used(q->x->sim) + SEGMENT);
    drop(q, add(q));
    begin(q);
    clean(q);
    assert_true(spent(q) > allowed(q));
    spool_stats(q->x->spool, &st);
    assert_true(st.segments_free > 0);
    mem_free(q);
}

/* It says so when it has to wait, and then goes on. */
static void
test_waits(void **state)
{
    struct budget b = { 0 };

    (void)state;
    clock_advance_ms(1000);
    budget_mail(&b, 0, false);
    assert_true(budget_allows(&b));
    budget_spend(&b, 4 * BUDGET_MOST, 10);
    assert_false(budget_allows(&b));
    budget_mail(&b, 1 << 20, false);
    assert_false(budget_allows(&b));
    /* Quiet: at once; and then mail again, which starts from nothing. */
    clock_advance_ms(BUDGET_IDLE_MS);
    assert_true(budget_allows(&b));
    budget_mail(&b, 0, false);
    assert_true(budget_allows(&b));
    budget_spend(&b, BUDGET_FLUSH, 0);
    assert_false(budget_allows(&b));
    clock_advance_ms(BUDGET_FLUSH / BUDGET_FLOOR);
    assert_true(budget_allows(&b));
}

int
main(void)
{
#define ON_SIM(test) \
    cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        ON_SIM(test_share),
        ON_SIM(test_after_an_outage),
        ON_SIM(test_behind),
        ON_SIM(test_idle),
        ON_SIM(test_full_disk),
        ON_SIM(test_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
