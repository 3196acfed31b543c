#include "lib/table/rebuild.h"

#include "lib/base/clock.h"
#include "lib/table/file_watch.h"
#include "lib/table/table.h"
#include "tests/unit/tables.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/file.h>

#include <cmocka.h>

/* Each test runs for each of these that is built. */
static const struct {
    const char *type, *suffix;
} kinds[] = {
    { "hash", ".db" },
    { "btree", ".db" },
    { "lmdb", ".lmdb" },
    { "cdb", ".cdb" },
};

static struct config_set *set;
static const char *type;
static char *source, *spec, *indexed;

static void
rebuild(enum rebuild_source from, unsigned flags)
{
    struct why why;

    if (table_rebuild(slice_of(spec), from, flags, config_main(set), &why) !=
        RESULT_OK)
        fail_msg("%s", why.text);
}

static struct table *
opened(void)
{
    struct table *t = NULL;
    struct why why;

    assert_int_equal(table_open(slice_of(spec), config_main(set), &t, &why),
        RESULT_OK);
    return t;
}

static void
expect(struct table *t, const char *key, const char *want)
{
    struct buf value;
    struct why why;
    enum table_status status;

    buf_init(&value, 1024);
    status = table_find(t, slice_of(key), &value, &why);
    print_message("  %s\n", key);
    assert_int_equal(status, want == NULL ? TABLE_NOT_FOUND : TABLE_FOUND);
    if (want != NULL)
        assert_string_equal(buf_text(&value), want);
    buf_fini(&value);
}

static void
test_build(void **state)
{
    struct table *t;

    (void)state;
    tables_write(source, "Key one\n  more\nb 2\nB twice\n\"c d\" e\n");
    rebuild(REBUILD_POSTMAP, 0);
    t = opened();
    expect(t, "kEY", "one  more");
    expect(t, "b", "2");
    expect(t, "\"c d\"", "e");
    expect(t, "none", NULL);
    table_close(t);

    rebuild(REBUILD_POSTMAP, REBUILD_REPLACE);
    t = opened();
    expect(t, "b", "twice");
    table_close(t);
}

static void
test_aliases(void **state)
{
    struct table *t;

    (void)state;
    tables_write(source, "Root: ann\nx@y: z\nann: bob, carl\n");
    rebuild(REBUILD_POSTALIAS, 0);
    t = opened();
    expect(t, "root", "ann");
    expect(t, "ann", "bob, carl");
    expect(t, "@", "@");
    expect(t, "x", NULL);
    expect(t, "YP_MASTER_NAME", NULL); /* its key is not folded */
    table_close(t);
}

/* The source's mode; nothing but the two files is left. */
static void
test_mode(void **state)
{
    struct stat st;
    char *beside = mem_format("%s.new", indexed);

    (void)state;
    tables_write(source, "a b\n");
    assert_int_equal(chmod(source, 0640), 0);
    rebuild(REBUILD_POSTMAP, 0);
    assert_int_equal(stat(indexed, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    rebuild(REBUILD_POSTMAP, REBUILD_DEFAULT_MODE);
    assert_int_equal(stat(indexed, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0644);
    assert_int_equal(access(beside, F_OK), -1);
    mem_free(beside);
}

/* A reader has the old table or the new one, whatever happens in between. */
static void
test_readers(void **state)
{
    struct table *t;

    (void)state;
    clock_set(1000, 1000000);
    tables_write(source, "a 1\n");
    rebuild(REBUILD_POSTMAP, 0);
    t = opened();
    expect(t, "a", "1");
    tables_write(source, "a 2\nb 3\n");
    rebuild(REBUILD_POSTMAP, 0);
    expect(t, "a", "1");
    clock_advance_ms(FILE_WATCH_MS);
    expect(t, "a", "2");
    expect(t, "b", "3");
    clock_unset();
    table_close(t);
}

static void
test_update_and_remove(void **state)
{
    struct table_writer *w;
    struct table *t;
    struct why why;
    bool found, duplicate;

    (void)state;
    tables_write(source, "a 1\nb 2\n");
    rebuild(REBUILD_POSTMAP, 0);
    assert_int_equal(table_writer_open(slice_of(type), source, 0600,
                         TABLE_WRITER_UPDATE | TABLE_WRITER_FOLD, &w, &why),
        RESULT_OK);
    assert_int_equal(table_writer_remove(w, SLICE_LIT("A"), &found, &why),
        RESULT_OK);
    assert_true(found);
    assert_int_equal(table_writer_remove(w, SLICE_LIT("A"), &found, &why),
        RESULT_OK);
    assert_false(found);
    assert_int_equal(table_writer_put(w, SLICE_LIT("b"), SLICE_LIT("9"),
                         TABLE_PUT_NEW, &duplicate, &why),
        RESULT_OK);
    assert_true(duplicate);
    assert_int_equal(table_writer_put(w, SLICE_LIT("C"), SLICE_LIT("3"),
                         TABLE_PUT_NEW, &duplicate, &why),
        RESULT_OK);
    assert_false(duplicate);
    assert_int_equal(table_writer_commit(w, &why), RESULT_OK);
    t = opened();
    expect(t, "a", NULL);
    expect(t, "b", "2");
    expect(t, "c", "3");
    table_close(t);
}

static void
test_abort(void **state)
{
    struct table_writer *w;
    struct table *t;
    struct why why;
    bool duplicate;
    char *beside = mem_format("%s.new", indexed);

    (void)state;
    tables_write(source, "a 1\n");
    rebuild(REBUILD_POSTMAP, 0);
    assert_int_equal(table_writer_open(slice_of(type), source, 0600, 0, &w,
                         &why),
        RESULT_OK);
    assert_int_equal(table_writer_put(w, SLICE_LIT("a"), SLICE_LIT("9"),
                         TABLE_PUT_NEW, &duplicate, &why),
        RESULT_OK);
    assert_int_equal(access(beside, F_OK), 0);
    table_writer_abort(w);
    assert_int_equal(access(beside, F_OK), -1);
    t = opened();
    expect(t, "a", "1");
    table_close(t);
    mem_free(beside);
}

/* Whoever has the file beside locked is the only writer. */
static void
test_locked(void **state)
{
    struct table_writer *w;
    struct why why;
    char *beside = mem_format("%s.new", indexed);
    int fd;

    (void)state;
    assert_int_equal(table_writer_open(slice_of(type), source, 0600, 0, &w,
                         &why),
        RESULT_OK);
    fd = open(beside, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), -1);
    assert_int_equal(errno, EWOULDBLOCK);
    table_writer_abort(w);
    close(fd);
    mem_free(beside);
}

static void
test_failures(void **state)
{
    struct table_writer *w;
    struct why why;

    (void)state;
    assert_int_equal(unlink(source), 0);
    assert_int_equal(table_rebuild(slice_of(spec), REBUILD_POSTMAP, 0,
                         config_main(set), &why),
        RESULT_TEMPFAIL);
    assert_non_null(strstr(why.text, "No such file or directory"));
    assert_int_equal(table_writer_open(SLICE_LIT("static"), source, 0600, 0, &w,
                         &why),
        RESULT_PERMFAIL);
    assert_string_equal(why.text,
        "unsupported dictionary type: static does not support bulk-mode "
        "creation.");
    tables_write(source, "a b\n");
}

/* Long values, many of them: more than the first map of an lmdb file. */
static void
test_large(void **state)
{
    enum { ENTRIES = 3000, VALUE = 12000 };
    struct table_writer *w;
    struct table *t;
    struct why why;
    bool duplicate;
    char key[32], *value = mem_alloc(VALUE + 1);
    struct buf found;

    (void)state;
    memset(value, 'v', VALUE);
    assert_int_equal(table_writer_open(slice_of(type), source, 0600, 0, &w,
                         &why),
        RESULT_OK);
    for (unsigned i = 0; i < ENTRIES; i++) {
        (void)snprintf(key, sizeof(key), "key%u", i);
        if (table_writer_put(w, slice_of(key), slice_of(value), TABLE_PUT_NEW,
                &duplicate, &why) != RESULT_OK)
            fail_msg("%s", why.text);
    }
    if (table_writer_commit(w, &why) != RESULT_OK)
        fail_msg("%s", why.text);
    buf_init(&found, VALUE + 1);
    t = opened();
    assert_int_equal(table_find(t, SLICE_LIT("key2999"), &found, &why),
        TABLE_FOUND);
    assert_string_equal(buf_text(&found), value);
    table_close(t);
    buf_fini(&found);
    mem_free(value);
}

static bool
count_entry(void *context, struct slice key, struct slice value)
{
    unsigned *n = context;

    assert_int_equal(key.len, 1);
    assert_int_equal(value.len, 1);
    return ++*n < 3;
}

static void
test_listing(void **state)
{
    struct table *t;
    struct why why;
    unsigned n = 0;

    (void)state;
    tables_write(source, "a 1\nb 2\nc 3\nd 4\n");
    rebuild(REBUILD_POSTMAP, 0);
    t = opened();
    assert_int_equal(table_walk(t, count_entry, &n, &why), TABLE_FOUND);
    assert_int_equal(n, 3);
    table_close(t);
}

/* Cut off anywhere, a file gives an error or nothing: never a crash. */
static void
test_cut_off(void **state)
{
    struct stat st;
    unsigned errors = 0;

    (void)state;
    tables_write(source, "a 1\nb 2\nc 3\n");
    for (int i = 0; i < 16; i++) {
        struct table *t;
        struct buf value;
        struct why why;

        rebuild(REBUILD_POSTMAP, 0);
        assert_int_equal(stat(indexed, &st), 0);
        assert_int_equal(truncate(indexed, st.st_size * i / 16), 0);
        t = opened();
        buf_init(&value, 100);
        if (table_find(t, SLICE_LIT("c"), &value, &why) == TABLE_ERROR)
            errors++;
        buf_fini(&value);
        table_close(t);
    }
    assert_true(errors > 0);
}

static int
set_up(void **state)
{
    (void)state;
    tables_init();
    set = tables_config("");
    source = tables_path("map");
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    config_drop(set);
    mem_free(source);
    mem_free(spec);
    mem_free(indexed);
    tables_fini();
    spec = indexed = NULL;
    return 0;
}

static bool
is_built(const char *name)
{
    for (size_t i = 0; table_type_name(i) != NULL; i++)
        if (strcmp(table_type_name(i), name) == 0)
            return true;
    return false;
}

static int
run_kind(size_t i)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_mode),
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_update_and_remove),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_locked),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_failures),
    };
    int failed = set_up(NULL);

    type = kinds[i].type;
    spec = mem_format("%s:%s", type, source);
    indexed = mem_format("%s%s", source, kinds[i].suffix);
#ifndef HAVE_DB
    if (strcmp(kinds[i].suffix, ".db") == 0) {
        mem_free(indexed);
        indexed = mem_format("%s.lmdb", source);
    }
#endif
    failed += cmocka_run_group_tests_name(type, tests, NULL, NULL);
    return failed + tear_down(NULL);
}

int
main(void)
{
    int failed = 0;

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (is_built(kinds[i].type))
            failed += run_kind(i);
    return failed;
}
