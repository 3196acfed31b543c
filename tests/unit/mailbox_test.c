/* Both mailbox formats, as a worker stores them. */
#include "local/mailbox.h"

#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "local/lock_methods.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char base[64];
static struct why why;

static int
setup(void **state)
{
    (void)state;
    (void)snprintf(base, sizeof(base), "/tmp/mailbox-XXXXXX");
    return mkdtemp(base) == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
    char *command = mem_format("rm -rf %s", base);
    int res = system(command); /* NOLINT: a name that we made */

    (void)state;
    mem_free(command);
    return res;
}

static struct mailbox_store
sample(enum mailbox_kind kind, const char *path)
{
    return (struct mailbox_store){ .kind = kind,
        .path = slice_of(path),
        .sender = SLICE_LIT("ann@example.org"),
        .top = SLICE_LIT("Return-Path: <ann@example.org>\r\n"),
        .content = { .header = SLICE_LIT("Subject: x\r\n"),
            .body = SLICE_LIT("one\r\nFrom two\r\n>From three\r\nfour"),
            .fd = -1 } };
}

static char *
read_file(const char *path)
{
    char *text = mem_alloc(65536);
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_true(read(fd, text, 65535) >= 0);
    close(fd);
    return text;
}

/* The one file below a directory; the caller frees it. */
static char *
only_file(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *entry;
    char *found = NULL;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        assert_null(found);
        found = mem_format("%s/%s", dir, entry->d_name);
    }
    closedir(d);
    return found;
}

static void
test_maildir(void **state)
{
    char *path = mem_format("%s/a/b", base);
    char *tmp = mem_format("%s/tmp", path), *new = mem_format("%s/new", path);
    struct mailbox_store s = sample(MAILBOX_MAILDIR, path);
    char *file, *text;

    (void)state;
    assert_int_equal(maildir_store(&s, &why), RESULT_OK);
    file = only_file(new);
    assert_non_null(file);
    assert_null(only_file(tmp));
    text = read_file(file);
    assert_string_equal(text,
        "Return-Path: <ann@example.org>\nSubject: x\n\n"
        "one\nFrom two\n>From three\nfour\n");
    mem_free(text);
    mem_free(file);
    mem_free(new);
    mem_free(tmp);
    mem_free(path);
}

enum { SIDE_BY_SIDE = 4, ROUNDS = 300 };

static pthread_barrier_t start;

static void *
store_first(void *arg)
{
    struct mailbox_store s = sample(MAILBOX_MAILDIR, arg);
    enum result *res = mem_alloc(sizeof(*res));
    struct why why_not;

    (void)pthread_barrier_wait(&start);
    *res = maildir_store(&s, &why_not);
    return res;
}

/* One makes the Maildir while others are at different points of storing. */
static void
test_first_ones_side_by_side(void **state)
{
    pthread_t threads[SIDE_BY_SIDE];

    (void)state;
    (void)pthread_barrier_init(&start, NULL, SIDE_BY_SIDE);
    for (unsigned round = 0; round < ROUNDS; round++) {
        char *path = mem_format("%s/first/%u", base, round);

        for (unsigned i = 0; i < SIDE_BY_SIDE; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, store_first,
                                 path),
                0);
        for (unsigned i = 0; i < SIDE_BY_SIDE; i++) {
            void *res;

            (void)pthread_join(threads[i], &res);
            assert_int_equal(*(enum result *)res, RESULT_OK);
            mem_free(res);
        }
        mem_free(path);
    }
    (void)pthread_barrier_destroy(&start);
}

static void
test_mbox(void **state)
{
    static const char second[] =
        "Return-Path: <ann@example.org>\nSubject: x\n\n"
        "one\n>From two\n>From three\nfour\n\nFrom ann@";
    char *path = mem_format("%s/mbox", base);
    struct mailbox_store s = sample(MAILBOX_MBOX, path);
    char *text, *after;

    (void)state;
    assert_int_equal(lock_methods_parse("fcntl, dotlock", &s.locks, &why),
        RESULT_OK);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(mbox_store(&s, &why), RESULT_OK);
    text = read_file(path);
    assert_true(strncmp(text, "From ann@example.org  ", 22) == 0);
    after = strchr(text, '\n') + 1;
    assert_true(slice_starts(slice_of(after), slice_of(second)));
    mem_free(text);
    text = mem_format("%s.lock", path);
    assert_int_equal(access(text, F_OK), -1);
    mem_free(text);
    mem_free(path);
}

static void
test_mbox_locked_by_another(void **state)
{
    char *path = mem_format("%s/mbox", base);
    char *lock = mem_format("%s.lock", path);
    struct mailbox_store s = sample(MAILBOX_MBOX, path);
    int fd = open(lock, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    s.locks = MAILBOX_LOCK_DOT;
    s.lock_tries = 2;
    s.lock_delay_ms = 1;
    s.lock_stale_ms = 3600 * 1000;
    assert_int_equal(mbox_store(&s, &why), RESULT_TEMPFAIL);
    assert_string_equal(why.status, "4.2.0");
    assert_int_equal(access(path, F_OK), -1);
    mem_free(lock);
    mem_free(path);
}

static void
test_mbox_full(void **state)
{
    char *path = mem_format("%s/mbox", base);
    struct mailbox_store s = sample(MAILBOX_MBOX, path);
    struct stat st;
    off_t size;

    (void)state;
    assert_int_equal(mbox_store(&s, &why), RESULT_OK);
    s.size_limit = 10;
    assert_int_equal(mbox_store(&s, &why), RESULT_PERMFAIL);
    assert_string_equal(why.status, "5.2.2");
    /* What would pass the limit in its middle is not begun either. */
    assert_int_equal(stat(path, &st), 0);
    size = st.st_size;
    s.size_limit = (uint64_t)size + 10;
    assert_int_equal(mbox_store(&s, &why), RESULT_PERMFAIL);
    assert_string_equal(why.text, "error writing message: File too large");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, size);
    s.size_limit = (uint64_t)size * 2;
    assert_int_equal(mbox_store(&s, &why), RESULT_OK);
    mem_free(path);
}

/* Half a message is never left: neither in an mbox nor in new/. */
static void
test_wrong_checksum_leaves_nothing(void **state)
{
    static const char body[] = "octets that were lent\r\n";
    char *mbox = mem_format("%s/mbox", base);
    char *maildir = mem_format("%s/maildir", base);
    char *new = mem_format("%s/new", maildir);
    char *blob = mem_format("%s/blob", base);
    struct mailbox_store s = sample(MAILBOX_MBOX, mbox);
    struct stat st;
    int fd = open(blob, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, body, sizeof(body) - 1), sizeof(body) - 1);
    s.content.fd = fd;
    s.content.length = sizeof(body) - 1;
    s.content.crc = crc32c(0, body, sizeof(body) - 1);
    assert_int_equal(mbox_store(&s, &why), RESULT_OK);
    assert_int_equal(stat(mbox, &st), 0);

    s.content.crc ^= 1;
    assert_int_equal(mbox_store(&s, &why), RESULT_TEMPFAIL);
    s.content.length++;
    assert_int_equal(mbox_store(&s, &why), RESULT_TEMPFAIL);
    {
        off_t size = st.st_size;

        assert_int_equal(stat(mbox, &st), 0);
        assert_int_equal(st.st_size, size);
    }
    s.kind = MAILBOX_MAILDIR;
    s.path = slice_of(maildir);
    assert_int_equal(maildir_store(&s, &why), RESULT_TEMPFAIL);
    assert_null(only_file(new));
    close(fd);
    mem_free(blob);
    mem_free(new);
    mem_free(maildir);
    mem_free(mbox);
}

static void
test_mbox_refuses_links(void **state)
{
    char *path = mem_format("%s/mbox", base);
    struct mailbox_store s = sample(MAILBOX_MBOX, path);

    (void)state;
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_not_equal(mbox_store(&s, &why), RESULT_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(mbox_store(&s, &why), RESULT_PERMFAIL);
    mem_free(path);
}

/* A request is what a taken-over brain may send. */
static void
test_request_round_trip(void **state)
{
    struct mailbox_store s = sample(MAILBOX_MBOX, "/x/y"), out;
    struct msg_in in = { .type = MESSAGE_STORE };
    struct msg m;

    (void)state;
    s.locks = 3;
    s.lock_tries = 20;
    mailbox_store_encode(&s, &m);
    in.body = buf_slice(&m.body);
    assert_int_equal(mailbox_store_decode(&in, &out, &why), RESULT_OK);
    assert_true(slice_eq(out.path, s.path));
    assert_true(slice_eq(out.content.body, s.content.body));
    assert_int_equal(out.locks, 3);
    msg_fini(&m);

    s.path = SLICE_LIT("relative");
    mailbox_store_encode(&s, &m);
    in.body = buf_slice(&m.body);
    assert_int_equal(mailbox_store_decode(&in, &out, &why), RESULT_PERMFAIL);
    msg_fini(&m);

    (void)why_temp(&why, "4.2.2", "full");
    mailbox_stored_encode(RESULT_TEMPFAIL, &why, &m);
    why = (struct why){ 0 };
    assert_int_equal(mailbox_stored_decode(buf_slice(&m.body), &why),
        RESULT_TEMPFAIL);
    assert_string_equal(why.status, "4.2.2");
    assert_string_equal(why.text, "full");
    msg_fini(&m);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_maildir),
        TEST(test_first_ones_side_by_side),
        TEST(test_mbox),
        TEST(test_mbox_locked_by_another),
        TEST(test_mbox_full),
        TEST(test_wrong_checksum_leaves_nothing),
        TEST(test_mbox_refuses_links),
        cmocka_unit_test(test_request_round_trip),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
