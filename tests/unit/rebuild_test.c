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

#ifdef HAVE_DB

static struct config_set *set;
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
    assert_int_equal(table_writer_open(SLICE_LIT("hash"), source, 0600,
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
    assert_int_equal(table_writer_open(SLICE_LIT("hash"), source, 0600, 0, &w,
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
    assert_int_equal(table_writer_open(SLICE_LIT("hash"), source, 0600, 0, &w,
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
        "unsupported map type for this operation: static");
    tables_write(source, "a b\n");
}

static int
set_up(void **state)
{
    (void)state;
    tables_init();
    set = tables_config("");
    source = tables_path("map");
    spec = mem_format("hash:%s", source);
    indexed = mem_format("%s.db", source);
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
    return 0;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_build),
        cmocka_unit_test(test_aliases),
        cmocka_unit_test(test_mode),
        cmocka_unit_test(test_readers),
        cmocka_unit_test(test_update_and_remove),
        cmocka_unit_test(test_abort),
        cmocka_unit_test(test_locked),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else

static void
test_without(void **state)
{
    (void)state;
    skip();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
