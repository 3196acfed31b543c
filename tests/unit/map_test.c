#include "lib/base/map.h"

#include "lib/base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MANY = 5000 };

struct item {
    struct map_node node;
    unsigned key;
    unsigned seen;
};

static struct item items[MANY];

static bool
same(const struct map_node *node, const void *key)
{
    return LIST_ENTRY((uintptr_t)node, struct item, node)->key ==
        *(const unsigned *)key;
}

static struct item *
find(const struct map *m, uint64_t hash, unsigned key)
{
    struct map_node *node = map_find(m, hash, same, &key);

    return node == NULL ? NULL : LIST_ENTRY(node, struct item, node);
}

static uint64_t
spread(unsigned key)
{
    return map_hash_u64(key);
}

/* A hash function that could not be worse. */
static uint64_t
collide(unsigned key)
{
    return key % 3;
}

static void
check_map(uint64_t (*hash)(unsigned key), unsigned count, unsigned reserved)
{
    struct map_node *node, *next;
    struct map m;
    unsigned n = 0;

    map_init(&m);
    assert_null(find(&m, hash(1), 1));
    assert_null(map_first(&m));
    for (unsigned i = 0; i < count; i++) {
        /* With some in it, and again where it is large enough already. */
        if (i % 100 == 50)
            map_reserve(&m, reserved);
        items[i] = (struct item){ .key = i };
        map_add(&m, hash(i), &items[i].node);
    }
    assert_int_equal(m.count, count);
    for (unsigned i = 0; i < count; i++)
        assert_ptr_equal(find(&m, hash(i), i), &items[i]);
    assert_null(find(&m, hash(count), count));

    for (node = map_first(&m); node != NULL; node = map_after(&m, node))
        LIST_ENTRY(node, struct item, node)->seen++;
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(items[i].seen, 1);

    /* Every other one goes, while walking. */
    for (node = map_first(&m); node != NULL; node = next) {
        next = map_after(&m, node);
        if (LIST_ENTRY(node, struct item, node)->key % 2 == 0)
            map_remove(&m, node);
    }
    assert_int_equal(m.count, count / 2);
    for (unsigned i = 0; i < count; i++)
        assert_ptr_equal(find(&m, hash(i), i), i % 2 == 0 ? NULL : &items[i]);
    for (node = map_first(&m); node != NULL; node = map_after(&m, node))
        n++;
    assert_int_equal(n, count / 2);
    map_fini(&m);
    assert_null(map_first(&m));
}

static void
test_spread(void **state)
{
    (void)state;
    check_map(spread, MANY, 0);
    check_map(spread, MANY, MANY / 2);
}

static void
test_collisions(void **state)
{
    (void)state;
    check_map(collide, 300, 1000);
}

static void
test_hashes(void **state)
{
    static const char text[] = "The.Quick.Brown.Fox.Example";
    char lower[sizeof(text)];

    (void)state;
    assert_true(map_hash_u64(7) == map_hash_u64(7));
    assert_true(map_hash_u64(7) != map_hash_u64(8));
    for (size_t i = 0; i < sizeof(text); i++)
        lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32
                                                           : text[i]);
    for (size_t n = 0; n < sizeof(text); n++) {
        struct slice a = { text, n }, b = { lower, n };

        assert_true(map_hash_slice(a) == map_hash_slice(a));
        assert_true(map_hash_slice_nocase(a) == map_hash_slice_nocase(b));
        if (n > 0) {
            assert_true(map_hash_slice(a) != map_hash_slice(b));
            assert_true(
                map_hash_slice(a) != map_hash_slice(slice_head(a, n - 1)));
        }
    }
}

/* Elements come and go between the steps, and the table grows. */
static void
test_steps(void **state)
{
    enum { STAY = 1000, COME = 9000 };
    struct item *many = calloc(STAY + COME, sizeof(*many));
    uint64_t cursor = 0;
    unsigned come = STAY, gone = 0;
    struct map m;

    (void)state;
    map_init(&m);
    assert_null(map_step(&m, &cursor));
    assert_true(cursor == 0);
    for (unsigned i = 0; i < STAY; i++) {
        many[i].key = i;
        map_add(&m, map_hash_u64(i), &many[i].node);
    }
    do {
        for (struct map_node *n = map_step(&m, &cursor); n != NULL; n = n->next)
            LIST_ENTRY(n, struct item, node)->seen++;
        for (unsigned i = 0; i < 7 && come < STAY + COME; i++, come++) {
            many[come].key = come;
            map_add(&m, map_hash_u64(come), &many[come].node);
        }
        for (; come - STAY > gone + 20; gone++)
            map_remove(&m, &many[STAY + gone].node);
    } while (cursor != 0);
    assert_true(come > STAY * 2); /* it did grow */
    for (unsigned i = 0; i < STAY; i++)
        assert_int_equal(many[i].seen, 1);
    for (unsigned i = STAY; i < come; i++)
        assert_in_range(many[i].seen, 0, 1);
    map_fini(&m);
    free(many);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_collisions),
        cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_steps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
