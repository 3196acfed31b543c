#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "qmgr/spool/finds.h"
#include "qmgr/spool/format.h"
#include "qmgr/spool/spool.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RUNS = 9, MOST = 400 };

/* Few ids and serials, so that many stand together and some are the same. */
static void
add_entries(struct buf *index, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct record_info r = {
            .type = RECORD_STATUS,
            .part = (uint16_t)(random_u64() % 2),
            .parts = 2,
            .id = random_u64() % 50 + 1,
            .serial = random_u64() % 20 + 1,
            .brief = SLICE_LIT("brief"),
        };

        index_entry_add(index, &r);
    }
    assert_false(buf_failed(index));
}

static void
test_merged_in_order(void **state)
{
    struct run runs[RUNS] = { 0 };
    struct buf indexes[RUNS];
    size_t count = 0, most[RUNS];
    struct find last = { 0 };
    struct merge m;

    (void)state;
    random_set_seed(5);
    for (uint32_t i = 0; i < RUNS; i++) {
        most[i] = i == 4 ? 0 : random_u64() % MOST;
        buf_init(&indexes[i], INT_MAX);
        add_entries(&indexes[i], most[i]);
        assert_true(run_collect(&runs[i], i, buf_slice(&indexes[i]), most[i]));
        assert_int_equal(runs[i].count, most[i]);
        count += most[i];
    }
    merge_init(&m, runs, RUNS);
    for (; merge_next(&m) != NULL; merge_skip(&m), count--) {
        const struct find *f = merge_next(&m);

        assert_true(find_compare(&last, f) <= 0);
        assert_true(most[f->slot]-- > 0);
        assert_in_range(f->entry - buf_slice(&indexes[f->slot]).ptr, 0,
            indexes[f->slot].len - 1);
        last = *f;
    }
    assert_int_equal(count, 0);
    merge_fini(&m);
    for (size_t i = 0; i < RUNS; i++) {
        assert_int_equal(most[i], 0);
        run_fini(&runs[i]);
        buf_fini(&indexes[i]);
    }
}

/* Neither more than there may be, nor something else behind them. */
static void
test_refused(void **state)
{
    struct run run = { 0 };
    struct buf index;

    (void)state;
    buf_init(&index, INT_MAX);
    add_entries(&index, 3);
    assert_false(run_collect(&run, 0, buf_slice(&index), 2));
    assert_int_equal(run.count, 2);
    run_fini(&run);
    assert_true(run_collect(&run, 0, buf_slice(&index), UINT32_MAX));
    assert_int_equal(run.count, 3);
    run_fini(&run);
    buf_add_text(&index, "12345678");
    assert_false(run_collect(&run, 0, buf_slice(&index), UINT32_MAX));
    run_fini(&run);
    buf_fini(&index);
}

static void
test_nothing(void **state)
{
    struct run run = { 0 };
    struct merge m;

    (void)state;
    assert_true(run_collect(&run, 0, (struct slice){ "", 0 }, 0));
    merge_init(&m, &run, 1);
    assert_null(merge_next(&m));
    merge_fini(&m);
    run_fini(&run);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merged_in_order),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
