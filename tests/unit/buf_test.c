#include "lib/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
test_add(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    assert_string_equal(buf_text(&b), "");
    buf_add(&b, (struct slice){ NULL, 0 });
    buf_add(&b, SLICE_LIT("MAIL"));
    buf_add_octet(&b, ' ');
    buf_add_text(&b, "FROM:");
    buf_add_format(&b, "<%s>%u", "a@b", 7U);
    assert_string_equal(buf_text(&b), "MAIL FROM:<a@b>7");
    assert_int_equal(b.len, 16);
    assert_false(buf_failed(&b));
    buf_fini(&b);
    assert_string_equal(buf_text(&b), "");
}

static void
test_drop(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    buf_add_text(&b, "0123456789");
    buf_consume(&b, 0);
    buf_consume(&b, 3);
    assert_string_equal(buf_text(&b), "3456789");
    buf_truncate(&b, 100);
    buf_truncate(&b, 2);
    assert_string_equal(buf_text(&b), "34");
    buf_consume(&b, 2);
    assert_int_equal(b.len, 0);
    buf_add_text(&b, "again");
    assert_true(slice_eq_text(buf_slice(&b), "again"));
    buf_clear(&b);
    assert_int_equal(buf_slice(&b).len, 0);
    buf_fini(&b);
}

static void
test_reserve(void **state)
{
    struct buf b;
    char *to;

    (void)state;
    buf_init(&b, 1000);
    to = buf_reserve(&b, 500);
    assert_non_null(to);
    memset(to, 'x', 500);
    buf_advance(&b, 3);
    assert_string_equal(buf_text(&b), "xxx");
    assert_null(buf_reserve(&b, 998));
    assert_true(buf_failed(&b));
    buf_fini(&b);
}

/* What fits exactly is taken; one octet more fails, and so does the rest. */
static void
test_ceiling(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 10);
    buf_add_text(&b, "0123456789");
    assert_false(buf_failed(&b));
    assert_string_equal(buf_text(&b), "0123456789");
    buf_add_octet(&b, 'x');
    assert_true(buf_failed(&b));
    buf_truncate(&b, 2);
    buf_add_octet(&b, 'x'); /* takes nothing more */
    assert_string_equal(buf_text(&b), "01");
    buf_clear(&b);
    assert_false(buf_failed(&b));
    buf_add_format(&b, "%s", "01234567890");
    assert_true(buf_failed(&b));
    assert_int_equal(b.len, 0);
    assert_null(buf_reserve(&b, SIZE_MAX));
    buf_fini(&b);
}

static void
test_growth(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 100000);
    for (unsigned i = 0; i < 100000; i++)
        buf_add_octet(&b, (unsigned char)(i % 251));
    assert_false(buf_failed(&b));
    assert_int_equal(b.len, 100000);
    for (unsigned i = 0; i < 100000; i++)
        if ((unsigned char)b.ptr[i] != i % 251)
            fail();
    buf_fini(&b);
}

/* Clearing wipes; so does growing, but that memory is no longer ours to see. */
static void
test_secret(void **state)
{
    struct buf b;
    char *was;

    (void)state;
    buf_init_secret(&b, 1000);
    buf_add_text(&b, "swordfish");
    was = b.ptr;
    buf_clear(&b);
    assert_memory_equal(was, "\0\0\0\0\0\0\0\0\0", 9);
    for (unsigned i = 0; i < 50; i++)
        buf_add_text(&b, "swordfish");
    assert_int_equal(b.len, 450);
    assert_memory_equal(b.ptr + 441, "swordfish", 9);
    buf_fini(&b);
    assert_null(b.ptr);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add),
        cmocka_unit_test(test_drop),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_secret),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
