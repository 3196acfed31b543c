#include "lib/base/arena.h"

#include <setjmp.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

enum { CEILING = 100000 };

static void
test_alloc(void **state)
{
    struct arena a;
    unsigned char *last = NULL;

    (void)state;
    arena_init(&a, CEILING);
    for (size_t size = 1; size < 300; size++) {
        unsigned char *p = arena_alloc(&a, size);

        assert_non_null(p);
        assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, size); /* the next must come zeroed, and elsewhere */
        if (last != NULL)
            assert_int_equal(last[size - 2], 0xff);
        last = p;
    }
    arena_clear(&a);
    assert_int_equal(a.used, 0);
    assert_non_null(arena_alloc(&a, 10));
    arena_clear(&a);
    arena_clear(&a);
}

static void
test_ceiling(void **state)
{
    struct arena a;
    size_t n = 0;

    (void)state;
    arena_init(&a, CEILING);
    assert_null(arena_alloc(&a, CEILING + 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    while (arena_alloc(&a, 1000) != NULL)
        n++;
    assert_in_range(n, CEILING / 1016, CEILING / 1000);
    assert_true(a.used <= CEILING);
    arena_clear(&a);
    assert_non_null(arena_alloc(&a, CEILING - 100)); /* in one piece */
    arena_clear(&a);
}

static void
test_copies(void **state)
{
    struct slice empty = { NULL, 0 }, copy = empty;
    struct arena a;
    char source[] = "text";
    char *text;

    (void)state;
    arena_init(&a, 64);
    text = arena_text(&a, slice_of(source));
    assert_true(arena_slice(&a, (struct slice){ "a\0b", 3 }, &copy));
    source[0] = 'n';
    assert_string_equal(text, "text");
    assert_int_equal(copy.len, 3);
    assert_memory_equal(copy.ptr, "a\0b", 4);
    assert_string_equal(arena_text(&a, empty), "");
    assert_null(arena_text(&a, (struct slice){ source, 64 }));
    copy = empty;
    assert_false(arena_slice(&a, (struct slice){ source, SIZE_MAX }, &copy));
    assert_null(copy.ptr);
    arena_clear(&a);
}

/* Small or large, with something behind it or not: it keeps what it had. */
static void
test_resize(void **state)
{
    enum { STEPS = 12, FIRST = 100 };
    struct arena a;

    (void)state;
    arena_init(&a, 100 * CEILING);
    for (int behind = 0; behind < 2; behind++) {
        size_t size = FIRST;
        unsigned char *p = arena_resize(&a, NULL, 0, size);

        assert_non_null(p);
        memset(p, 7, size);
        for (int step = 0; step < STEPS; step++) {
            if (behind != 0)
                memset(arena_alloc(&a, 50), 0xff, 50);
            p = arena_resize(&a, p, size, 2 * size);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % alignof(max_align_t), 0);
            for (size_t i = 0; i < 2 * size; i++)
                assert_int_equal(p[i], i < size ? 7 : 0);
            size *= 2;
            memset(p, 7, size);
        }
        /* What is large has left nothing behind. */
        assert_in_range(a.used, size, size + 2 * 65536 * (size_t)(behind + 1));
        arena_clear(&a);
    }
    arena_init(&a, CEILING);
    assert_non_null(arena_alloc(&a, CEILING / 2));
    assert_null(arena_resize(&a, NULL, 0, CEILING));
    arena_clear(&a);
}

static void
test_pool(void **state)
{
    struct arena_pool pool = { .ceiling = 10 * CEILING };
    struct arena one, two;
    void *p;

    (void)state;
    arena_init_in(&one, SIZE_MAX / 2, &pool);
    arena_init_in(&two, SIZE_MAX / 2, &pool);
    p = arena_alloc(&one, 8 * CEILING);
    assert_non_null(p);
    assert_null(arena_alloc(&two, 3 * CEILING));
    assert_null(arena_resize(&one, p, 8 * CEILING, 11 * CEILING));
    p = arena_resize(&one, p, 8 * CEILING, 9 * CEILING);
    assert_non_null(p);
    assert_null(arena_alloc(&two, 2 * CEILING));
    assert_int_equal(pool.used, 9 * CEILING);
    arena_clear(&one);
    assert_int_equal(pool.used, 0);
    assert_non_null(arena_alloc(&two, 3 * CEILING));
    arena_clear(&two);
    assert_int_equal(pool.used, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_copies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
