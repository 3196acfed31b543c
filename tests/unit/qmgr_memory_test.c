/*
 * What a deferred message costs in memory: at most 200 octets of the heap; and
 * whether what the queue manager believes that it uses, by which it refuses mail
 * (qmgr_memory_limit), is what it uses.
 */
#include "qmgr/strain.h"
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
        static struct world w;
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

/* What the world itself keeps of records. */
static uint64_t
octets_stored(struct world *w)
{
    uint64_t octets = 0;

    list_foreach (it, &w->log) {
        struct stored *r = LIST_ENTRY(it, struct stored, link);

        octets += malloc_usable_size(r) + malloc_usable_size(r->brief) +
            malloc_usable_size(r->head) + malloc_usable_size(r->content) +
            4 * sizeof(size_t);
    }
    return octets;
}

static void
compare(const char *what, uint64_t believed, uint64_t octets)
{
    print_message("  %s: %.2f MB in use, %.2f believed\n", what,
        (double)octets / 1e6, (double)believed / 1e6);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    assert_in_range(believed, octets - octets / 10, octets + octets / 2);
#endif
}

static void
test_belief(void **state)
{
    static const struct {
        const char *what;
        size_t messages, rcpts, body;
    } loads[] = {
        { "small messages", 10000, 1, 500 },
        { "large ones", 2000, 1, 20000 },
        { "of twenty recipients", 2000, 20, 500 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
        static char names[WORLD_RCPTS][80];
        struct world_mail mail = { .sender = "sender@example.com",
            .body = loads[i].body };
        uint64_t before, believed;
        static struct world w;

        for (size_t k = 0; k < loads[i].rcpts; k++) {
            (void)snprintf(names[k], sizeof(names[k]),
                "recipient%zu@d%zu.example.net", k, k);
            mail.recipients[k] = names[k];
        }
        world_open(&w,
            "qmgr_message_active_limit = 20000\n"
            "qmgr_message_recipient_limit = 100000\n"
            "transport_retry_time = 1h\n");
        before = octets_in_use();
        believed = strain_memory(&w.q);
        for (size_t n = 0; n < loads[i].messages; n++)
            world_submit(&w, &mail);
        world_settle(&w);
        assert_int_equal(w.q.index.states[ENTRY_ACTIVE], loads[i].messages);
        compare(loads[i].what, strain_memory(&w.q) - believed,
            octets_in_use() - before - octets_stored(&w));
        world_close_all(&w);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deferred),
        cmocka_unit_test(test_belief),
    };

    log_set_sink(world_no_log, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
