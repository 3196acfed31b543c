#include "qmgr/spool/spool.h"

#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "lib/base/random.h"
#include "tests/unit/spool_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void
test_round_trip(void **state)
{
    struct fixture *x = *state;
    struct spool_place place;
    struct buf head, content;
    struct why why;

    assert_int_equal(x->found_count, 0);
    place = fixture_put(x, RECORD_MESSAGE, 7, "envelope", "content of it");
    (void)fixture_put(x, RECORD_STATUS, 7, "status", "");
    (void)fixture_put(x, RECORD_MESSAGE, 5, "other", "");
    (void)fixture_put(x, RECORD_META, 0, "high-water", "");
    buf_init(&head, 100);
    buf_init(&content, 100);
    assert_int_equal(spool_read(x->spool, &place, 7, &head, &content, &why),
        RESULT_OK);
    assert_string_equal(buf_text(&head), "envelope");
    assert_string_equal(buf_text(&content), "content of it");
    assert_int_equal(spool_read(x->spool, &place, 8, &head, &content, &why),
        RESULT_PERMFAIL); /* not its id */
    fixture_restart(x);
    assert_int_equal(x->damage_count, 0);
    assert_int_equal(x->found_count, 4);
    assert_int_equal(x->found[0].type, RECORD_META);
    assert_string_equal(x->found[0].head, "high-water");
    assert_int_equal(x->found[1].id, 5);
    assert_string_equal(x->found[2].head, "envelope");
    assert_int_equal(x->found[3].type, RECORD_STATUS);
    assert_string_equal(x->found[3].head, "status");
    buf_clear(&content);
    assert_int_equal(spool_read(x->spool, &x->found[2].place, 7, &head,
                         &content, &why),
        RESULT_OK);
    assert_string_equal(buf_text(&content), "content of it");
    buf_fini(&head);
    buf_fini(&content);
}

static void
test_remove(void **state)
{
    struct fixture *x = *state;
    struct spool_place place = fixture_put(x, RECORD_MESSAGE, 7, "envelope",
        "content of it");

    (void)fixture_put(x, RECORD_STATUS, 7, "status", "");
    (void)fixture_put(x, RECORD_MESSAGE, 8, "stays", "");
    fixture_remove(x, 7, &place);
    fixture_restart(x);
    assert_int_equal(x->found_count, 1);
    assert_int_equal(x->found[0].id, 8);
}

/* A change without its message is not told. */
static void
test_orphan(void **state)
{
    struct fixture *x = *state;

    (void)fixture_put(x, RECORD_STATUS, 7, "status", "");
    fixture_restart(x);
    assert_int_equal(x->found_count, 0);
}

static void
test_brief(void **state)
{
    struct fixture *x = *state;
    static char large[SPOOL_BRIEF_MAX + 1];
    struct spool_record r = {
        .type = RECORD_MESSAGE,
        .id = 3,
        .brief = SLICE_LIT("in short"),
        .head = SLICE_LIT("at length"),
    };
    struct buf head, content;
    struct why why;

    assert_int_equal(fixture_commit(x, &r, 1, false, &why), RESULT_OK);
    memset(large, 'b', sizeof(large));
    r.brief = (struct slice){ large, sizeof(large) };
    assert_int_equal(fixture_commit(x, &r, 1, false, &why), RESULT_PERMFAIL);
    r.brief.len--;
    r.id = 4;
    assert_int_equal(fixture_commit(x, &r, 1, false, &why), RESULT_OK);
    fixture_restart(x);
    assert_int_equal(x->found_count, 2);
    assert_string_equal(x->found[0].head, "in short");
    buf_init(&head, 100);
    buf_init(&content, 100);
    assert_int_equal(spool_read(x->spool, &x->found[0].place, 3, &head,
                         &content, &why),
        RESULT_OK);
    assert_string_equal(buf_text(&head), "at length");
    buf_fini(&head);
    buf_fini(&content);
}

/* What one record may be; what no segment can hold is refused for good. */
static void
test_sizes(void **state)
{
    static const struct {
        size_t len;
        enum result want;
    } cases[] = {
        { 0, RESULT_OK },
        { 1, RESULT_OK },
        { 4096, RESULT_OK },
        { 100000, RESULT_OK },
        { 128 * 1024 - 4 * 4096, RESULT_PERMFAIL },
        { 128 * 1024 - 5 * 4096, RESULT_OK },
        { 128 * 1024, RESULT_PERMFAIL },
    };
    struct fixture *x = *state;
    struct why why;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(fixture_message(x, i + 1, cases[i].len, NULL, &why),
            cases[i].want);
    assert_string_equal(why.status, "5.3.4");
    fixture_restart(x);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct found *f = fixture_find(x, RECORD_MESSAGE, i + 1);

        assert_int_equal(f != NULL, cases[i].want == RESULT_OK);
        if (f != NULL)
            fixture_check_content(x, i + 1, cases[i].len, &f->place);
    }
}

/* Many at once: more than a batch and a segment take, in order. */
static void
test_group(void **state)
{
    enum { COUNT = 100 };
    struct fixture *x = *state;
    static struct spool_txn txns[COUNT];
    static struct spool_record records[COUNT][2];
    struct list list = LIST_INIT(list);
    struct spool_stats before, after;
    static char content[5000];

    memset(content, 'c', sizeof(content));
    for (size_t i = 0; i < COUNT; i++) {
        records[i][0] = (struct spool_record){
            .type = RECORD_MESSAGE,
            .id = i + 1,
            .head = SLICE_LIT("envelope"),
            .content = { content, sizeof(content) },
        };
        records[i][1] = (struct spool_record){
            .type = RECORD_STATUS,
            .id = i + 1,
            .head = SLICE_LIT("status"),
        };
        txns[i] = (struct spool_txn){
            .records = records[i],
            .record_count = 2,
        };
        list_append(&list, &txns[i].link);
    }
    txns[50].record_count = 0; /* not one: alone refused */
    spool_stats(x->spool, &before);
    spool_commit(x->spool, &list);
    spool_stats(x->spool, &after);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(txns[i].result, i == 50 ? RESULT_PERMFAIL : RESULT_OK);
    assert_int_equal(after.commits - before.commits, COUNT - 1);
    assert_true(after.flushes - before.flushes < 10);
    for (size_t i = 1; i < COUNT; i++)
        if (i != 50 && i != 51)
            assert_true(txns[i].serial > txns[i - 1].serial);
    fixture_restart(x);
    assert_int_equal(x->found_count, 2 * (COUNT - 1));
}

static void
test_lock(void **state)
{
    struct fixture *x = *state;
    struct spool_options options = x->options;
    struct fixture second = *x;
    char pid[32];
    struct why why;

    options.lock_wait_ms = 0;
    second.options = options;
    assert_int_equal(fixture_open(&second, &why), RESULT_TEMPFAIL);
    (void)snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    assert_non_null(strstr(why.text, pid));
    /* It did no harm. */
    (void)fixture_put(x, RECORD_MESSAGE, 7, "envelope", "");
    fixture_restart(x);
    assert_int_equal(x->found_count, 1);
}

/* It is killed while it owns the spool, and what it promised is there. */
static void
test_killed_owner(void **state)
{
    struct fixture *x = *state;
    struct why why;
    char octet;
    int ready[2];
    pid_t child;

    spool_close(x->spool);
    assert_int_equal(pipe(ready), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (fixture_open(x, &why) == RESULT_OK &&
            fixture_message(x, 7, 5000, NULL, &why) == RESULT_OK &&
            write(ready[1], "", 1) == 1)
            (void)pause();
        _exit(1);
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &octet, 1), 1);
    close(ready[0]);
    assert_int_equal(fixture_open(x, &why), RESULT_TEMPFAIL);
    assert_int_equal(kill(child, SIGKILL), 0);
    x->options.lock_wait_ms = 10000;
    fixture_start(x);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(x->found_count, 1);
    fixture_check_content(x, 7, 5000, &x->found[0].place);
}

static void
test_identity(void **state)
{
    struct fixture *x = *state;
    struct spool_identity first, second;

    spool_identity(x->spool, &first);
    fixture_restart(x);
    spool_identity(x->spool, &second);
    assert_string_equal(first.id, second.id);
    assert_int_equal(strlen(first.id), 32);
    assert_true(second.epoch > first.epoch);
}

static int
blob_with(struct fixture *x, const char *text)
{
    struct disk *disk = x->options.disk;
    struct iovec iov;
    struct why why;
    int fd;

    iov.iov_len = strlen(text);
    memcpy(&iov.iov_base, &text, sizeof(text));
    assert_int_equal(spool_blob_lend(x->spool, &fd, &why), RESULT_OK);
    assert_int_equal(disk->write(disk, fd, &iov, 1, 0), 0);
    return fd;
}

static bool
is_second(void *context, uint64_t number)
{
    const uint64_t *second = context;

    return number == *second;
}

static void
test_blobs(void **state)
{
    struct fixture *x = *state;
    const char *text = "a large body";
    uint32_t crc = crc32c(0, text, strlen(text));
    uint64_t number, second;
    char octets[20];
    struct why why;
    int fd = blob_with(x, text), again;

    assert_int_equal(spool_blob_keep(x->spool, fd, 5, crc, &number, &why),
        RESULT_PERMFAIL);
    assert_int_equal(spool_blob_keep(x->spool, fd, strlen(text), crc + 1,
                         &number, &why),
        RESULT_PERMFAIL);
    assert_int_equal(spool_blob_keep(x->spool, fd, strlen(text), crc, &number,
                         &why),
        RESULT_OK);
    spool_blob_close(x->spool, fd);
    fd = blob_with(x, text);
    assert_int_equal(spool_blob_keep(x->spool, fd, strlen(text), crc, &second,
                         &why),
        RESULT_OK);
    spool_blob_close(x->spool, fd);
    assert_true(second != number);

    assert_int_equal(spool_blob_open(x->spool, number, &again, &why),
        RESULT_OK);
    assert_int_equal(x->options.disk->read(x->options.disk, again, octets,
                         sizeof(octets), 0),
        strlen(text));
    assert_memory_equal(octets, text, strlen(text));
    spool_blob_drop(x->spool, number);
    /* Who has it open goes on reading. */
    assert_int_equal(x->options.disk->read(x->options.disk, again, octets, 1,
                         0),
        1);
    spool_blob_close(x->spool, again);
    assert_int_equal(spool_blob_open(x->spool, number, &again, &why),
        RESULT_TEMPFAIL);

    fd = blob_with(x, text);
    assert_int_equal(spool_blob_keep(x->spool, fd, strlen(text), crc, &number,
                         &why),
        RESULT_OK);
    spool_blob_close(x->spool, fd);
    fixture_restart(x);
    spool_blob_sweep(x->spool, is_second, &second);
    assert_int_equal(spool_blob_open(x->spool, number, &again, &why),
        RESULT_TEMPFAIL);
    assert_int_equal(spool_blob_open(x->spool, second, &again, &why),
        RESULT_OK);
    spool_blob_close(x->spool, again);
}

/* Each step of keeping fails once: then there is no blob, and no leak. */
static void
test_blob_faults(void **state)
{
    struct fixture *x = *state;
    const char *text = "a large body";
    enum result res = RESULT_TEMPFAIL;
    unsigned nth;

    for (nth = 1; res != RESULT_OK; nth++) {
        struct disk_fault fault = { .count = 1, .err = ENOSPC };
        uint64_t number = 0;
        struct why why;
        int fd = blob_with(x, text);

        fault.first = disk_sim_calls(x->sim) + nth;
        disk_sim_fail(x->sim, &fault);
        res = spool_blob_keep(x->spool, fd, strlen(text),
            crc32c(0, text, strlen(text)), &number, &why);
        disk_sim_fail(x->sim, &(struct disk_fault){ 0 });
        spool_blob_close(x->spool, fd);
        if (res != RESULT_OK)
            assert_string_equal(why.status, "4.3.1");
        assert_int_equal(number != 0, res == RESULT_OK);
    }
    assert_int_equal(nth, 5); /* flush, link, flush directory */
}

/* The power is cut: what was not flushed is gone. */
static void
cut(struct fixture *x)
{
    struct disk_sim *left = disk_sim_cut(x->sim, CUT_LOST, 0);

    spool_close(x->spool);
    disk_sim_free(x->sim);
    x->sim = left;
    x->options.disk = disk_sim_disk(left);
    x->options.dir = disk_sim_root(left);
}

/*
 * The very first start fails anywhere. What the next one finds of it is made
 * durable with the rest: a power cut after that takes nothing.
 */
static void
test_first_start_fails(void **state)
{
    struct fixture *x = *state;
    bool failed = true;
    struct why why;

    for (uint64_t nth = 1; failed; nth++) {
        spool_close(x->spool);
        disk_sim_free(x->sim);
        x->sim = disk_sim_new(1024 * 1024);
        x->options.disk = disk_sim_disk(x->sim);
        x->options.dir = disk_sim_root(x->sim);
        disk_sim_fail(x->sim,
            &(struct disk_fault){ .first = nth, .count = 2, .err = EIO });
        failed = fixture_open(x, &why) != RESULT_OK;
        disk_sim_fail(x->sim, &(struct disk_fault){ 0 });
        if (failed)
            fixture_start(x);
        (void)fixture_put(x, RECORD_MESSAGE, 1, "mail", "");
        cut(x);
        fixture_start(x);
        if (x->damage_count > 0)
            fail_msg("call %d: %s", (int)nth, x->damage[0]);
        assert_int_equal(x->found_count, 1);
    }
}

/* What is adopted leaves as much of the disk free as mail that comes in. */
static void
test_blob_copy(void **state)
{
    struct fixture *x = *state;
    const char *text = "a large body";
    uint32_t crc = crc32c(0, text, strlen(text));
    struct disk *disk = x->options.disk;
    uint64_t number, copy;
    struct why why;
    int fd = blob_with(x, text);

    assert_int_equal(spool_blob_keep(x->spool, fd, strlen(text), crc, &number,
                         &why),
        RESULT_OK);
    spool_blob_close(x->spool, fd);
    assert_int_equal(spool_blob_copy(x->spool, x->spool, number, strlen(text),
                         crc, &copy, &why),
        RESULT_OK);
    assert_int_equal(spool_blob_copy(x->spool, x->spool, number, INT64_MAX, crc,
                         &copy, &why),
        RESULT_PERMFAIL);
    x->options.min_free = (uint64_t)disk->free_octets(disk, x->options.dir);
    fixture_restart(x);
    assert_int_equal(spool_blob_copy(x->spool, x->spool, number, strlen(text),
                         crc, &copy, &why),
        RESULT_TEMPFAIL);
    assert_string_equal(why.status, "4.3.1");
}

int
main(void)
{
#define ON_SIM(test) \
    cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
#define ON_DISK(test) \
    cmocka_unit_test_setup_teardown(test, fixture_setup_real, fixture_teardown)
    const struct CMUnitTest tests[] = {
        ON_SIM(test_round_trip),
        ON_DISK(test_round_trip),
        ON_SIM(test_remove),
        ON_SIM(test_orphan),
        ON_SIM(test_brief),
        ON_SIM(test_sizes),
        ON_DISK(test_sizes),
        ON_SIM(test_group),
        ON_DISK(test_group),
        ON_SIM(test_lock),
        ON_DISK(test_lock),
        ON_DISK(test_killed_owner),
        ON_SIM(test_identity),
        ON_DISK(test_identity),
        ON_SIM(test_blobs),
        ON_DISK(test_blobs),
        ON_SIM(test_blob_faults),
        ON_SIM(test_blob_copy),
        ON_SIM(test_first_start_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
