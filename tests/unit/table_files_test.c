/*
 * Files of tables as master handed them to lookup, and what a configuration that
 * is refused leaves of them.
 */
#include "lib/table/table_files.h"

#include "lib/base/tlv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static const char path[] = "/nowhere/mysql-users.cf";

/* As table_files_collect() has it. */
static struct slice
take(const char *contents)
{
    struct slice before = SLICE_LIT("");
    struct buf group, all;
    struct why why;
    int fd = memfd_create("files", MFD_CLOEXEC);

    buf_init(&group, 1000);
    buf_init(&all, 1000);
    tlv_put(&group, 1, slice_of(path));
    tlv_put(&group, 2, slice_of(contents));
    tlv_put(&all, 1, buf_slice(&group));
    assert_int_equal(write(fd, all.ptr, all.len), (ssize_t)all.len);
    assert_int_equal(table_files_take(fd, &before, &why), RESULT_OK);
    close(fd);
    buf_fini(&group);
    buf_fini(&all);
    return before;
}

/* "": there is no such file. */
static void
check_contents(const char *want)
{
    struct buf got;
    struct why why;

    buf_init(&got, 1000);
    assert_int_equal(table_files_read(path, &got, &why) == RESULT_OK,
        want[0] != '\0');
    assert_string_equal(buf_text(&got), want);
    buf_fini(&got);
}

static void
test_all_or_nothing(void **state)
{
    struct slice before, none;
    struct why why;

    (void)state;
    before = take("first");
    check_contents("first");
    table_files_refuse(before);
    check_contents("");
    table_files_accept(take("second"));
    before = take("third");
    check_contents("third");
    table_files_refuse(before);
    check_contents("second");
    assert_int_equal(table_files_take(-1, &none, &why), RESULT_OK);
    table_files_accept(none);
    check_contents("");
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_or_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
