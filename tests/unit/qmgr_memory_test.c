/* What a deferred message costs in memory: at most 200 octets of the heap. */
#include "tests/unit/qmgr_world.h"

#include <malloc.h>

enum { OCTETS_MAX = 200 };

static uint64_t
octets_in_use(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

static void
find(struct qmgr *q, enum record_type type, uint64_t id, uint32_t place,
    struct buf *brief)
{
    struct spool_found f = {
        .type = type,
        .id = id,
        .place = { 1, place, 1 },
        .brief = buf_slice(brief),
    };
    struct why why;

    assert_true(recover_found(q, &f, &why));
    buf_clear(brief);
}

/* As they are found at a start: each with its STATUS, due in some time. */
static void
fill(struct qmgr *q, size_t count)
{
    struct buf brief;

    buf_init(&brief, SPOOL_BRIEF_MAX);
    for (size_t i = 0; i < count; i++) {
        struct message_brief m = {
            .arrival_ms = qmgr_wall_ms(),
            .recipients = 1,
            .site = 7,
        };
        struct status_brief s = {
            .version = 3,
            .next_try_ms = qmgr_wall_ms() + 1 + (int64_t)random_below(100000),
            .attempts = 1,
            .unsettled = 1,
            .lane = 9,
        };

        message_brief_encode(&m, &brief);
        find(q, RECORD_MESSAGE, 1000 + i, (uint32_t)(2 * i + 1), &brief);
        status_brief_encode(&s, &brief);
        find(q, RECORD_STATUS, 1000 + i, (uint32_t)(2 * i + 2), &brief);
    }
    buf_fini(&brief);
    recover_end(q);
}

static void
test_deferred(void **state)
{
    /* Tables double: just above a power of two is the worst there is. */
    static const size_t counts[] = { 100000, 132000, 262144, 270000 };

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct world w;
        uint64_t before, octets;

        world_open(&w, "");
        before = octets_in_use();
        fill(&w.q, counts[i]);
        octets = octets_in_use() - before;
        assert_int_equal(w.q.index.states[ENTRY_DEFERRED], counts[i]);
        print_message("  %zu messages: %.1f octets each\n", counts[i],
            (double)octets / (double)counts[i]);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        assert_in_range(octets, 1, counts[i] * OCTETS_MAX);
#endif
        world_close_all(&w);
        assert_in_range(octets_in_use(), 0, before);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_deferred) };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
