#include "qmgr/heap.h"

#include "lib/base/list.h"
#include "lib/base/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 500, ROUNDS = 20000 };

static void
test_in_order(void **state)
{
    static struct heap_node nodes[NODES];
    struct heap h;
    int64_t last = INT64_MIN;
    size_t in = 0;

    (void)state;
    random_set_seed(3);
    heap_init(&h);
    assert_null(heap_first(&h));
    /* Put in, moved and taken out at random. */
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct heap_node *n = &nodes[random_below(NODES)];

        if (random_below(3) == 0) {
            in -= n->slot != 0;
            heap_remove(&h, n);
            assert_int_equal(n->slot, 0);
        } else {
            in += n->slot == 0;
            heap_set(&h, n, (int64_t)random_below(1000));
        }
        assert_int_equal(h.count, in);
        for (size_t k = 1; k < h.count; k++)
            assert_true(h.nodes[(k - 1) / 2]->due <= h.nodes[k]->due);
        for (size_t k = 0; k < h.count; k++)
            assert_int_equal(h.nodes[k]->slot, k + 1);
        if (i > 2000 && i % 50 != 0)
            i += 40; /* the checks are quadratic */
    }
    while (heap_first(&h) != NULL) {
        assert_true(heap_first(&h)->due >= last);
        last = heap_first(&h)->due;
        heap_remove(&h, heap_first(&h));
    }
    heap_fini(&h);
}

int
main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_in_order) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
