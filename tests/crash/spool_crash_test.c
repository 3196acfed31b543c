/*
 * Power cuts and failing disks. A script of random steps runs against a spool
 * on a simulated disk; after each call to the disk, copies of it without what
 * was not durable are started from, and must hold all that was promised.
 *
 * CRASH_STATES=N checks at least N distinct states (default: a sample), and
 * more of the rest in proportion; CRASH_SEED=N begins with another script,
 * CRASH_TEST=name runs one test.
 */
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "lib/io/sanitize.h"
#include "tests/crash/spool_model.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    STATES_SAMPLE = 4000,
    SCRIPT_STEPS = 400,
    THOROUGH_ONE_IN = 16,
    MEGABYTE = 1024 * 1024,
};

static uint64_t
number_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static struct model_options
script(uint64_t seed)
{
    return (struct model_options){
        .seed = seed,
        .segment_size = seed % 2 == 0 ? 64 * 1024 : 160 * 1024,
        .capacity = 8 * MEGABYTE,
        .live_max = seed % 3 == 0 ? 20 : 60,
        .content_max = seed % 5 == 0 ? 30000 : 6000,
    };
}

/* Hashes of states that were seen: open addressing, never full. */
struct states {
    uint64_t *seen;
    size_t size, count, doubles;
};

static bool
states_add(struct states *st, uint64_t hash)
{
    size_t i = hash % st->size;

    if (hash == 0)
        hash = 1;
    while (st->seen[i] != 0) {
        if (st->seen[i] == hash) {
            st->doubles++;
            return false;
        }
        i = (i + 1) % st->size;
    }
    st->seen[i] = hash;
    st->count++;
    return true;
}

struct cutting {
    struct model *model;
    struct states states;
    uint64_t target;
    uint64_t rng;
    unsigned variants; /* of torn and reordered, for each call */
};

static void
try_cut(struct cutting *c, enum cut kind)
{
    struct disk_sim *left;

    c->rng = c->rng * 6364136223846793005 + 1442695040888963407;
    left = disk_sim_cut(model_disk(c->model), kind, c->rng >> 16);
    if (!states_add(&c->states, disk_sim_hash(left))) {
        disk_sim_free(left);
        return;
    }
    model_check(c->model, left, c->states.count % THOROUGH_ONE_IN == 0);
}

static void
cut_now(void *context)
{
    struct cutting *c = context;

    if (c->states.count >= c->target)
        return;
    try_cut(c, CUT_KEPT);
    try_cut(c, CUT_LOST);
    for (unsigned i = 0; i < c->variants; i++)
        try_cut(c, i % 2 == 0 ? CUT_TORN : CUT_REORDERED);
}

static void
test_power_cuts(void **state)
{
    uint64_t seed = number_from("CRASH_SEED", 1);
    struct cutting c = {
        .target = number_from("CRASH_STATES", STATES_SAMPLE),
    };
    struct model_counts sum = { 0 };
    unsigned scripts = 0;

    (void)state;
    c.variants = c.target > 20 * STATES_SAMPLE ? 8 : 2;
    c.states.size = (size_t)c.target * 2 + 1000;
    c.states.seen = mem_alloc_array(c.states.size, sizeof(uint64_t));
    for (; c.states.count < c.target; seed++, scripts++) {
        struct model_options options = script(seed);
        struct model_counts counts;

        model_note("seed %" PRIu64, seed);
        random_set_seed(seed);
        c.rng = seed;
        c.model = model_new(&options);
        disk_sim_watch(model_disk(c.model), cut_now, &c);
        for (unsigned i = 0; i < SCRIPT_STEPS && c.states.count < c.target; i++)
            (void)model_step(c.model);
        disk_sim_watch(model_disk(c.model), NULL, NULL);
        counts = model_counts(c.model);
        sum.accepted += counts.accepted;
        sum.removed += counts.removed;
        sum.cleaned += counts.cleaned;
        sum.restarts += counts.restarts;
        sum.blobs += counts.blobs;
        model_free(c.model);
    }
    print_message("%zu distinct states after power cuts (%zu doubles), "
                  "%u scripts: %u accepted, %u removed, %u cleaner's steps, "
                  "%u starts, %u blobs\n",
        c.states.count, c.states.doubles, scripts, sum.accepted, sum.removed,
        sum.cleaned, sum.restarts, sum.blobs);
    assert_true(sum.cleaned > 0 && sum.blobs > 0 && sum.restarts > scripts);
    mem_free(c.states.seen);
}

/*
 * Crash and go on: the script continues on what the power cut left, with a disk
 * that fails now and then, so that what one crash left undone meets the next.
 */
enum { AFTER_STEPS = 120, CRASHES_SAMPLE = 150 };

struct crashing {
    struct model *model;
    uint64_t rng, crashes, target, seed;
};

static uint64_t
draw(uint64_t *rng)
{
    *rng = *rng * 6364136223846793005 + 1442695040888963407;
    return *rng >> 24;
}

static void
go_on(struct crashing *c, enum cut kind)
{
    uint64_t seed = draw(&c->rng);
    struct disk_sim *left = disk_sim_cut(model_disk(c->model), kind, seed);
    struct model *after = model_crashed(c->model, left, seed);
    struct disk_fault fault = {
        .first = 20 + draw(&c->rng) % 400,
        .count = draw(&c->rng) % 8,
        .err = EIO,
        .partial = draw(&c->rng) % 2 == 0,
    };

    c->crashes++;
    model_note("seed %" PRIu64 " crash %" PRIu64, c->seed, c->crashes);
    disk_sim_fail(left, &fault);
    for (unsigned i = 0; i < AFTER_STEPS; i++) {
        (void)model_step(after);
        if (i % 10 == 9)
            model_check(after,
                disk_sim_cut(left, (enum cut)(i / 10 % CUT_KINDS), seed + i),
                false);
    }
    model_check(after, disk_sim_cut(left, CUT_LOST, seed), true);
    model_check_running(after);
    model_free(after);
}

static void
crash_now(void *context)
{
    struct crashing *c = context;

    if (c->crashes < c->target && draw(&c->rng) % 40 == 0)
        go_on(c, (enum cut)(draw(&c->rng) % CUT_KINDS));
}

static void
test_crash_and_go_on(void **state)
{
    uint64_t states = number_from("CRASH_STATES", STATES_SAMPLE);
    struct crashing c = {
        .seed = number_from("CRASH_SEED", 1),
        .target = states * CRASHES_SAMPLE / STATES_SAMPLE + 1,
    };

    (void)state;
    for (; c.crashes < c.target; c.seed++) {
        struct model_options options = script(c.seed);

        random_set_seed(c.seed);
        c.rng = c.seed;
        c.model = model_new(&options);
        disk_sim_watch(model_disk(c.model), crash_now, &c);
        for (unsigned i = 0; i < SCRIPT_STEPS && c.crashes < c.target; i++)
            (void)model_step(c.model);
        disk_sim_watch(model_disk(c.model), NULL, NULL);
        model_free(c.model);
    }
    print_message("%" PRIu64 " crashes that went on\n", c.crashes);
}

/* The script with one fault; then cuts, right after it and at the end. */
static bool
run_with_fault(uint64_t seed, const struct disk_fault *fault)
{
    struct model_options options = script(seed);
    struct model *m;
    struct disk_sim *disk;
    bool cut = false, hit;

    random_set_seed(seed);
    m = model_new(&options);
    disk = model_disk(m);
    disk_sim_fail(disk, fault);
    for (unsigned i = 0; i < SCRIPT_STEPS; i++) {
        (void)model_step(m);
        if (cut || disk_sim_calls(disk) < fault->first)
            continue;
        cut = true;
        for (int kind = 0; kind < CUT_KINDS; kind++)
            model_check(m, disk_sim_cut(disk, (enum cut)kind, seed + i), false);
        model_check_running(m);
    }
    model_check_running(m);
    for (int kind = 0; kind < CUT_KINDS; kind++)
        model_check(m, disk_sim_cut(disk, (enum cut)kind, seed), kind == 0);
    hit = disk_sim_calls(disk) >= fault->first;
    model_free(m);
    return hit;
}

static void
test_faults(void **state)
{
    static const struct {
        int err;
        unsigned count;
        bool partial;
    } kinds[] = {
        { EIO, 1, false },
        { EIO, 1, true },
        { ENOSPC, 1, false },
        { ENOSPC, 1, true },
        { EIO, 3, true },
        { EIO, 6, false },
        { ENOSPC, 5, true },
    };
    uint64_t states = number_from("CRASH_STATES", STATES_SAMPLE);
    uint64_t seed = number_from("CRASH_SEED", 1);
    uint64_t step = states > 20 * STATES_SAMPLE ? 5 : 61;
    unsigned runs = 0;

    (void)state;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct disk_fault fault = {
            .first = 1 + k,
            .count = kinds[k].count,
            .err = kinds[k].err,
            .partial = kinds[k].partial,
        };

        /* To repeat one: CRASH_KIND=k CRASH_FAULT=call. */
        if (number_from("CRASH_KIND", k) != k)
            continue;
        fault.first = number_from("CRASH_FAULT", fault.first);
        while (model_note("seed %" PRIu64 " fault %zu at call %" PRIu64,
                   seed + k % 2, k, fault.first),
            run_with_fault(seed + k % 2, &fault)) {
            fault.first += step;
            runs++;
        }
    }
    print_message("%u runs with a fault\n", runs);
    assert_true(runs > 100);
}

/*
 * There is one thread, in which TSan finds nothing; but to follow what happens
 * to each octet of the many disks takes it an hour.
 */
#ifdef IO_TSAN
void AnnotateIgnoreReadsBegin(const char *file, int line);
void AnnotateIgnoreReadsEnd(const char *file, int line);
void AnnotateIgnoreWritesBegin(const char *file, int line);
void AnnotateIgnoreWritesEnd(const char *file, int line);

static void
look_away(void)
{
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

static void
look_again(void)
{
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}
#else
static void
look_away(void)
{
}

static void
look_again(void)
{
}
#endif

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_power_cuts),
        cmocka_unit_test(test_crash_and_go_on),
        cmocka_unit_test(test_faults),
    };
    int failed;

    if (getenv("CRASH_TEST") != NULL)
        cmocka_set_test_filter(getenv("CRASH_TEST"));
    /* Disks come and go: giving their memory back each time costs most. */
    (void)mallopt(M_TRIM_THRESHOLD, 256 * MEGABYTE);
    (void)mallopt(M_MMAP_THRESHOLD, 256 * MEGABYTE);
    look_away();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    look_again();
    return failed;
}
