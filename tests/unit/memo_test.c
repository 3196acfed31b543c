#include "lib/table/memo.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lookup/book.h"
#include "lookup/memo_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { NOW = 1000000, DAY = 86400 };

static struct slice
number(unsigned n, char text[16])
{
    (void)snprintf(text, 16, "%08u", n);
    return slice_of(text);
}

static bool
knows(struct book *b, const char *key, int64_t now, const char *expected)
{
    struct slice value;

    if (!book_find(b, slice_of(key), now, &value))
        return false;
    assert_true(slice_eq_text(value, expected));
    return true;
}

static void
test_book(void **state)
{
    size_t retained;
    struct book b;

    (void)state;
    book_init(&b, 10, false);
    book_keep(&b, slice_of("a"), slice_of("1"), NOW + 5, NOW);
    book_keep(&b, slice_of("b"), slice_of(""), NOW + 9, NOW);
    assert_true(knows(&b, "a", NOW + 4, "1"));
    assert_false(knows(&b, "a", NOW + 5, "1"));
    assert_true(knows(&b, "b", NOW, ""));
    book_keep(&b, slice_of("a"), slice_of("22"), NOW + 50, NOW);
    assert_true(knows(&b, "a", NOW + 5, "22"));
    book_keep(&b, slice_of("b"), slice_of("x"), NOW, NOW);
    assert_false(knows(&b, "b", NOW, ""));
    assert_int_equal(b.records.count, 1);
    assert_int_equal(book_clean(&b, NOW + 49, &retained), 0);
    assert_int_equal(retained, 1);
    assert_int_equal(book_clean(&b, NOW + 50, &retained), 1);
    assert_int_equal(retained, 0);
    assert_int_equal(b.records.count, 0);
    book_fini(&b);
}

/* What ends soon goes, what was earned stays. */
static void
test_flood(void **state)
{
    struct book b;
    char text[16];

    (void)state;
    book_init(&b, 1000, false);
    for (unsigned i = 0; i < 200; i++)
        book_keep(&b, number(i, text), slice_of("old"), NOW + 35 * DAY, NOW);
    for (unsigned i = 1000; i < 20000; i++) {
        book_keep(&b, number(i, text), slice_of("new"), NOW + DAY, NOW);
        assert_true(b.records.count <= 1000);
    }
    for (unsigned i = 0; i < 200; i++)
        assert_true(knows(&b, number(i, text).ptr, NOW, "old"));
    assert_true(knows(&b, "00019999", NOW, "new"));
    book_fini(&b);
}

/* The same before the file has been told of the first who went. */
static void
test_flood_at_once(void **state)
{
    struct book b;
    char text[16];

    (void)state;
    book_init(&b, 1000, true);
    for (unsigned i = 0; i < 200; i++)
        book_keep(&b, number(i, text), slice_of("old"), NOW + 35 * DAY, NOW);
    for (unsigned i = 1000; i < 5000; i++)
        book_keep(&b, number(i, text), slice_of("new"), NOW + DAY, NOW);
    for (unsigned i = 0; i < 200; i++)
        assert_true(knows(&b, number(i, text).ptr, NOW, "old"));
    assert_in_range(b.leaving, 1, 101);
    for (struct record *r; (r = book_next_dirty(&b)) != NULL;)
        if (r->end_s == 0)
            book_drop(&b, r);
    assert_int_equal(b.leaving, 0);
    assert_in_range(b.records.count, 900, 1000);
    book_fini(&b);
}

/* An end that only a process that was taken over would name. */
static void
test_far_end(void **state)
{
    struct book b;
    char text[16];

    (void)state;
    book_init(&b, 100, false);
    for (unsigned i = 0; i < 200; i++) {
        book_keep(&b, number(i, text), slice_of("x"), INT64_MAX, NOW);
        assert_true(knows(&b, text, NOW, "x"));
    }
    book_fini(&b);
}

/* A file that does not keep up does not make the book grow. */
static void
test_flood_with_file(void **state)
{
    struct book b;
    char text[16];
    struct record *r;
    size_t dropped = 0;

    (void)state;
    book_init(&b, 1000, true);
    for (unsigned i = 0; i < 5000; i++)
        book_keep(&b, number(i, text), slice_of("new"), NOW + DAY, NOW);
    assert_true(b.records.count <= 1100);
    while ((r = book_next_dirty(&b)) != NULL)
        if (r->end_s == 0) {
            book_drop(&b, r);
            dropped++;
        }
    assert_true(dropped > 0);
    assert_null(book_next_dirty(&b));
    book_fini(&b);
}

/* The messages. */

static void
test_messages(void **state)
{
    const struct memo memo = { MEMO_VERIFY, SLICE_LIT("a@b"), SLICE_LIT("ok"),
        NOW };
    struct memo back;
    struct memo_answer a = { MEMO_FOUND, SLICE_LIT("x") }, answer;
    struct msg m;
    struct why why;

    (void)state;
    memo_encode(MESSAGE_MEMO_KEEP, &memo, &m);
    assert_int_equal(memo_decode(buf_slice(&m.body), &back, &why), RESULT_OK);
    assert_int_equal(back.book, MEMO_VERIFY);
    assert_true(slice_eq_text(back.key, "a@b"));
    assert_true(slice_eq_text(back.value, "ok"));
    assert_int_equal(back.end_s, NOW);
    msg_fini(&m);
    memo_answer_encode(&a, &m);
    assert_true(memo_answer_decode(buf_slice(&m.body), &answer));
    assert_int_equal(answer.status, MEMO_FOUND);
    assert_true(slice_eq_text(answer.value, "x"));
    msg_fini(&m);
    /* No key, and too long a one. */
    msg_init(&m, MESSAGE_MEMO_ASK);
    assert_int_equal(memo_decode(buf_slice(&m.body), &back, &why),
        RESULT_PERMFAIL);
    for (unsigned i = 0; i <= MEMO_KEY_MAX; i++)
        buf_add_octet(&m.body, 'x');
    assert_int_equal(memo_decode(buf_slice(&m.body), &back, &why),
        RESULT_PERMFAIL);
    msg_fini(&m);
}

#ifdef HAVE_DB

/* The file. */

static char directory[64], path[80];

static int
make_directory(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/memo-XXXXXX");
    if (mkdtemp(directory) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/book", directory);
    return 0;
}

static int
remove_directory(void **state)
{
    char *command = mem_format("rm -rf '%s'", directory);
    int status = system(command); /* NOLINT(cert-env33-c): a name of ours */

    (void)state;
    mem_free(command);
    return status;
}

static void
load(void *context, unsigned book, struct slice key, struct slice value,
    int64_t end_s)
{
    assert_int_equal(book, 1);
    book_load(context, key, value, end_s);
}

static struct memo_file *
open_file(struct book *b)
{
    const char *const paths[] = { NULL, path };
    struct memo_file *f;
    struct why why;

    assert_int_equal(memo_file_open(directory, paths, 2, load, b, &f, &why),
        RESULT_OK);
    return f;
}

static void
write_one(struct memo_file *f, const char *key, const char *value, int64_t end)
{
    struct why why;

    assert_int_equal(memo_file_begin(f, &why), RESULT_OK);
    memo_file_write(f, 1, slice_of(key), slice_of(value), end);
    assert_int_equal(memo_file_end(f, &why), RESULT_OK);
}

static void
test_file(void **state)
{
    int64_t now = clock_wall_s();
    struct book b;
    struct memo_file *f;

    (void)state;
    book_init(&b, 100, true);
    f = open_file(&b);
    write_one(f, "a", "1", now + DAY);
    write_one(f, "b", "2", now + DAY);
    write_one(f, "c", "3", now - 1);
    write_one(f, "b", "", 0);
    write_one(f, "never there", "", 0);
    memo_file_close(f);
    f = open_file(&b);
    memo_file_close(f);
    assert_int_equal(b.records.count, 1);
    assert_true(knows(&b, "a", now, "1"));
    book_fini(&b);
}

/* Two of them would each recover what the other one uses. */
static void
test_one_owner(void **state)
{
    const char *const paths[] = { NULL, path };
    struct book b;
    struct memo_file *f, *other;
    struct why why;

    (void)state;
    book_init(&b, 100, true);
    f = open_file(&b);
    assert_int_equal(memo_file_open(directory, paths, 2, load, &b, &other,
                         &why),
        RESULT_TEMPFAIL);
    memo_file_close(f);
    f = open_file(&b);
    memo_file_close(f);
    book_fini(&b);
}

static void
spoil(const char *name)
{
    int fd = open(name, O_WRONLY);

    assert_true(fd >= 0);
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(write(fd, "nonsense", 8), 8);
    close(fd);
}

/* It starts anew instead of not at all. */
static void
test_damaged_file(void **state)
{
    int64_t now = clock_wall_s();
    char *name = mem_format("%s.db", path);
    struct book b;
    struct memo_file *f;

    (void)state;
    book_init(&b, 100, true);
    f = open_file(&b);
    write_one(f, "a", "1", now + DAY);
    memo_file_close(f);
    spoil(name);
    f = open_file(&b);
    assert_int_equal(b.records.count, 0);
    write_one(f, "b", "2", now + DAY);
    memo_file_close(f);
    f = open_file(&b);
    assert_true(knows(&b, "b", now, "2"));
    memo_file_close(f);
    book_fini(&b);
    mem_free(name);
}

#endif

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_book),
        cmocka_unit_test(test_flood),
        cmocka_unit_test(test_flood_at_once),
        cmocka_unit_test(test_far_end),
        cmocka_unit_test(test_flood_with_file),
        cmocka_unit_test(test_messages),
#ifdef HAVE_DB
        cmocka_unit_test_setup_teardown(test_file, make_directory,
            remove_directory),
        cmocka_unit_test_setup_teardown(test_one_owner, make_directory,
            remove_directory),
        cmocka_unit_test_setup_teardown(test_damaged_file, make_directory,
            remove_directory),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
