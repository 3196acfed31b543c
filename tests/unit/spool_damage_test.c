/*
 * Octets that change by themselves: what is whole is found, what is not is set
 * aside and named, and nothing is ever found that was not written.
 */
#include "lib/base/crc32c.h"
#include "lib/base/mem.h"
#include "qmgr/spool/format.h"
#include "tests/unit/spool_fixture.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Each message is in a batch of one block: message n is in block n. */
enum { BLOCK = 4096, MESSAGES = 6, CONTENT = 3000 };

static void
check_found(struct fixture *x)
{
    for (size_t i = 0; i < x->found_count; i++) {
        const struct found *f = &x->found[i];
        char head[40];

        assert_true(f->id >= 1 && f->id <= MESSAGES);
        (void)snprintf(head, sizeof(head), "envelope of %" PRIu64, f->id);
        assert_string_equal(f->head, head);
        fixture_check_content(x, f->id, CONTENT, &f->place);
    }
}

/* Any octet of a batch that later ones say was durable. */
static void
test_below_the_mark(void **state)
{
    struct fixture *x = *state;
    unsigned harmless = 0;

    fixture_fill(x, MESSAGES, CONTENT);
    fixture_kill(x);
    for (uint64_t at = 2 * BLOCK; at < 3 * BLOCK; at++) {
        struct disk_sim *before = x->sim;
        unsigned char xor = (unsigned char)(1U << at % 8);

        x->sim = disk_sim_cut(before, CUT_KEPT, 0);
        x->options.disk = disk_sim_disk(x->sim);
        assert_true(disk_sim_rot(x->sim, "segment", "0000", at, xor));
        fixture_start(x);
        check_found(x);
        if (x->found_count == MESSAGES) {
            harmless++; /* the header is damaged, its record is not; padding */
        } else {
            assert_int_equal(x->found_count, MESSAGES - 1);
            assert_null(fixture_find(x, RECORD_MESSAGE, 2));
            assert_true(x->damage_count > 0);
        }
        if (x->damage_count > 0) {
            assert_non_null(strstr(x->damage[0], "segment/0000"));
            assert_non_null(strstr(x->damage[0], "8192"));
            assert_non_null(strstr(x->damage[0], "damaged/0000-"));
        }
        spool_close(x->spool);
        disk_sim_free(x->sim);
        x->sim = before;
    }
    x->spool = NULL;
    x->options.disk = disk_sim_disk(x->sim);
    assert_true(harmless >= 64 && harmless < BLOCK - CONTENT);
}

/* The last batch may be torn: it is dropped without a word. */
static void
test_torn_tail(void **state)
{
    struct fixture *x = *state;

    fixture_fill(x, MESSAGES, CONTENT);
    fixture_kill(x);
    assert_true(
        disk_sim_rot(x->sim, "segment", "0000", MESSAGES * BLOCK + 300, 1));
    fixture_start(x);
    assert_int_equal(x->found_count, MESSAGES - 1);
    assert_int_equal(x->damage_count, 0);
    check_found(x);
}

/* After a clean end there are no torn tails. */
static void
test_clean_end(void **state)
{
    struct fixture *x = *state;

    fixture_fill(x, MESSAGES, CONTENT);
    spool_close(x->spool);
    assert_true(
        disk_sim_rot(x->sim, "segment", "0000", MESSAGES * BLOCK + 300, 1));
    fixture_start(x);
    assert_int_equal(x->found_count, MESSAGES - 1);
    assert_int_equal(x->damage_count, 1);
    assert_non_null(strstr(x->damage[0], "message 6"));
    check_found(x);
    /* What was set aside is the block as it was found. */
    {
        static unsigned char is[BLOCK], was[BLOCK];
        const char *name = strstr(x->damage[0], "damaged/") + 8;

        assert_int_equal(disk_sim_file_length(x->sim, "damaged", name), BLOCK);
        (void)disk_sim_file_read(x->sim, "damaged", name, 0, is, BLOCK);
        (void)disk_sim_file_read(x->sim, "segment", "0000", MESSAGES * BLOCK,
            was, BLOCK);
        assert_memory_equal(is, was, BLOCK);
    }
    /* The cleaner takes what is whole of it elsewhere; then all is quiet. */
    fixture_restart(x);
    assert_int_equal(x->found_count, MESSAGES - 1);
}

/* Several places at a time, several batches in a row. */
static void
test_many_places(void **state)
{
    struct fixture *x = *state;

    fixture_fill(x, MESSAGES, CONTENT);
    spool_close(x->spool);
    for (uint64_t block = 2; block <= 4; block++)
        assert_true(
            disk_sim_rot(x->sim, "segment", "0000", block * BLOCK + 20, 0xff));
    assert_true(disk_sim_rot(x->sim, "segment", "0000", 3 * BLOCK + 500, 0xff));
    fixture_start(x);
    check_found(x);
    /* 2 and 4 have whole records behind their damaged headers. */
    assert_int_equal(x->found_count, MESSAGES - 1);
    assert_null(fixture_find(x, RECORD_MESSAGE, 3));
    assert_true(x->damage_count >= 1);
}

/* A transaction is left out whole. */
static void
test_half_a_transaction(void **state)
{
    struct fixture *x = *state;
    char content[2000];
    struct spool_record r[2] = {
        { .type = RECORD_MESSAGE, .id = 9, .head = SLICE_LIT("notice") },
        { .type = RECORD_STATUS, .id = 1, .head = SLICE_LIT("settled") },
    };
    struct why why;

    memset(content, 'x', sizeof(content));
    r[0].content = (struct slice){ content, sizeof(content) };
    assert_int_equal(fixture_message(x, 1, CONTENT, NULL, &why), RESULT_OK);
    assert_int_equal(fixture_commit(x, r, 2, true, &why), RESULT_OK);
    (void)fixture_put(x, RECORD_MESSAGE, 10, "later", "");
    spool_close(x->spool);
    assert_true(disk_sim_rot(x->sim, "segment", "0000", 2 * BLOCK + 1000, 1));
    fixture_start(x);
    assert_non_null(fixture_find(x, RECORD_MESSAGE, 1));
    assert_non_null(fixture_find(x, RECORD_MESSAGE, 10));
    assert_null(fixture_find(x, RECORD_MESSAGE, 9));
    assert_null(fixture_find(x, RECORD_STATUS, 1));
    assert_int_equal(x->damage_count, 1);
}

/* Segments enough that some are sealed. */
static void
fill_segments(struct fixture *x)
{
    struct why why;

    for (uint64_t id = 1; id <= 200; id++)
        assert_int_equal(fixture_message(x, id, CONTENT, NULL, &why),
            RESULT_OK);
}

static void
test_index_block(void **state)
{
    struct fixture *x = *state;
    uint64_t last = x->options.segment_size - BLOCK;
    static unsigned char trailer[BLOCK];
    uint32_t index_at;

    fill_segments(x);
    spool_close(x->spool);
    (void)disk_sim_file_read(x->sim, "segment", "0000", last, trailer, BLOCK);
    memcpy(&index_at, trailer + 28, sizeof(index_at));
    assert_true(index_at > 1 && index_at * (uint64_t)BLOCK < last);
    assert_true(disk_sim_rot(x->sim, "segment", "0000",
        index_at * (uint64_t)BLOCK + 40, 1));
    fixture_start(x);
    assert_int_equal(x->found_count, 200);
    assert_int_equal(x->damage_count, 1);
    assert_non_null(strstr(x->damage[0], "index"));
    spool_close(x->spool);
    /* Without a trailer it is read as if it had not been sealed. */
    assert_true(disk_sim_rot(x->sim, "segment", "0000", last + 3, 1));
    fixture_start(x);
    assert_int_equal(x->found_count, 200);
    assert_int_equal(x->damage_count, 0);
}

/* A record of a sealed segment whose head is needed at the start. */
static void
test_sealed_record(void **state)
{
    struct fixture *x = *state;

    fill_segments(x);
    spool_close(x->spool);
    /* Message 2 stands alone in its batch, its head behind two headers. */
    assert_true(
        disk_sim_rot(x->sim, "segment", "0000", 2 * BLOCK + 64 + 56 + 3, 1));
    fixture_start(x);
    assert_int_equal(x->found_count, 199);
    assert_null(fixture_find(x, RECORD_MESSAGE, 2));
    assert_int_equal(x->damage_count, 1);
    assert_non_null(strstr(x->damage[0], "message 2 "));
}

/* A content that rotted is told when it is read, and never given out. */
static void
test_sealed_content(void **state)
{
    struct fixture *x = *state;
    struct buf head, content;
    struct why why;

    fill_segments(x);
    spool_close(x->spool);
    assert_true(disk_sim_rot(x->sim, "segment", "0000", 2 * BLOCK + 2000, 1));
    fixture_start(x);
    assert_int_equal(x->found_count, 200);
    buf_init(&head, 1000);
    buf_init(&content, 10000);
    assert_int_equal(spool_read(x->spool,
                         &fixture_find(x, RECORD_MESSAGE, 2)->place, 2, &head,
                         &content, &why),
        RESULT_PERMFAIL);
    assert_int_equal(content.len, 0);
    assert_non_null(strstr(why.text, "segment/0000"));
    buf_fini(&head);
    buf_fini(&content);
}

static void
test_segment_header(void **state)
{
    struct fixture *x = *state;

    fixture_fill(x, MESSAGES, CONTENT);
    spool_close(x->spool);
    assert_true(disk_sim_rot(x->sim, "segment", "0000", 100, 1));
    fixture_start(x);
    assert_int_equal(x->found_count, MESSAGES); /* the copy serves */
    assert_int_equal(x->damage_count, 0);
    spool_close(x->spool);
    assert_true(disk_sim_rot(x->sim, "segment", "0000", 40, 1));
    assert_true(disk_sim_rot(x->sim, "segment", "0000", 2048 + 40, 1));
    fixture_start(x);
    check_found(x);
    assert_int_equal(x->found_count, MESSAGES); /* the first batch serves */
    assert_int_equal(x->damage_count, 1);
    spool_close(x->spool);
    assert_true(disk_sim_rot(x->sim, "segment", "0000", BLOCK + 9, 1));
    fixture_start(x);
    assert_int_equal(x->found_count, 0); /* set aside whole, and named */
    assert_int_equal(x->damage_count, 1);
    assert_non_null(strstr(x->damage[0], "segment/0000"));
    assert_true(disk_sim_file_length(x->sim, "segment", "0000") < 0 ||
        x->spool != NULL);
}

static void
put_header(struct fixture *x, const char *name, const struct segment_header *h)
{
    static unsigned char block[BLOCK];
    struct iovec iov = { block, sizeof(block) };
    struct disk *disk = x->options.disk;
    int dir = disk->open(disk, x->options.dir, "segment",
        O_RDONLY | O_DIRECTORY, 0);
    int fd = disk->open(disk, dir, name, O_RDWR | O_CREAT, 0600);

    segment_header_encode(h, block);
    assert_int_equal(disk->write(disk, fd, &iov, 1, 0), 0);
    (void)disk->close(disk, fd);
    (void)disk->close(disk, dir);
}

/*
 * Headers that were written while a disk failed now and then name closed segments
 * that are long gone: more of them than one header can. What they say of one that
 * is there counts all the same.
 */
static void
test_many_closures(void **state)
{
    static unsigned char block[BLOCK];
    struct fixture *x = *state;
    struct segment_header h;
    uint64_t generation;

    fixture_fill(x, MESSAGES, CONTENT);
    fixture_kill(x);
    (void)disk_sim_file_read(x->sim, "segment", "0000", 0, block, BLOCK);
    assert_int_equal(segment_header_decode(block, &h), HEADER_OK);
    generation = h.key.generation;
    h.state = SEGMENT_FREE;
    h.closure_count = CLOSURES_MAX;
    for (unsigned slot = 1; slot <= 3; slot++) {
        char name[8];

        (void)snprintf(name, sizeof(name), "%04u", slot);
        for (size_t i = 0; i < CLOSURES_MAX; i++)
            h.closures[i] = (struct closure){
                generation - 1 - slot * CLOSURES_MAX - i, BLOCK
            };
        if (slot == 3) /* its last batch was not flushed */
            h.closures[5] = (struct closure){ generation, MESSAGES * BLOCK };
        put_header(x, name, &h);
    }
    fixture_start(x);
    check_found(x);
    assert_int_equal(x->found_count, MESSAGES - 1);
    assert_null(fixture_find(x, RECORD_MESSAGE, MESSAGES));
    /* And it is not forgotten when these are used again. */
    fixture_kill(x);
    fixture_start(x);
    assert_int_equal(x->found_count, MESSAGES - 1);
}

static void
count_segments(void *context, const char *name)
{
    unsigned *count = context;

    *count += strstr(name, "-segment") != NULL;
}

/* What was set aside is not overwritten by what is set aside later. */
static void
test_set_aside_twice(void **state)
{
    static const unsigned char id[SPOOL_ID_SIZE] = "somebody else's";
    struct fixture *x = *state;
    struct segment_header h = { .state = SEGMENT_USED,
        .size = SPOOL_SEGMENT_MIN };
    unsigned count = 0;
    int dir;

    memcpy(h.spool_id, id, sizeof(id));
    for (unsigned i = 0; i < 2; i++) {
        spool_close(x->spool);
        put_header(x, "0000", &h);
        fixture_start(x);
        assert_int_equal(x->damage_count, 1);
    }
    dir = x->options.disk->open(x->options.disk, x->options.dir, "damaged", 0,
        0);
    assert_int_equal(x->options.disk->list(x->options.disk, dir, count_segments,
                         &count),
        0);
    (void)x->options.disk->close(x->options.disk, dir);
    assert_int_equal(count, 2);
}

/* A bad sector: what can be read is read, and the file is not used again. */
static void
test_unreadable(void **state)
{
    struct fixture *x = *state;
    int dir, fd;

    fixture_fill(x, MESSAGES, CONTENT);
    spool_close(x->spool);
    dir = x->options.disk->open(x->options.disk, x->options.dir, "segment", 0,
        0);
    fd = x->options.disk->open(x->options.disk, dir, "0000", 0, 0);
    disk_sim_bad_place(x->sim, fd, 3 * BLOCK + 512, 3 * BLOCK + 1024);
    fixture_start(x);
    assert_int_equal(x->found_count, MESSAGES - 1);
    check_found(x);
    assert_null(fixture_find(x, RECORD_MESSAGE, 3));
    assert_true(x->damage_count >= 1);
    (void)x->options.disk->close(x->options.disk, fd);
    (void)x->options.disk->close(x->options.disk, dir);
}

/*
 * The one header that names a closed segment is in a file that cannot be read and
 * is moved away: what it says is written elsewhere before.
 */
static void
test_closure_moves_away(void **state)
{
    static unsigned char block[BLOCK];
    struct fixture *x = *state;
    struct disk *disk;
    struct segment_header h;
    int dir, fd;

    fixture_fill(x, MESSAGES, CONTENT);
    fixture_kill(x);
    disk = x->options.disk;
    (void)disk_sim_file_read(x->sim, "segment", "0000", 0, block, BLOCK);
    assert_int_equal(segment_header_decode(block, &h), HEADER_OK);
    dir = disk->open(disk, x->options.dir, "segment", O_RDONLY | O_DIRECTORY,
        0);
    assert_int_equal(disk->rename(disk, dir, "0000", dir, "0001"), 0);
    h.closure_count = 1;
    h.closures[0] = (struct closure){ h.key.generation, MESSAGES * BLOCK };
    h.key.generation++;
    put_header(x, "0000", &h);
    fd = disk->open(disk, dir, "0000", O_RDWR, 0);
    assert_int_equal(disk->reserve(disk, fd, 4 * BLOCK), 0);
    disk_sim_bad_place(x->sim, fd, 2 * BLOCK, 2 * BLOCK + 512);
    (void)disk->close(disk, fd);
    (void)disk->close(disk, dir);
    fixture_start(x);
    assert_int_equal(x->found_count, MESSAGES - 1);
    /* It goes first; of the closed one nothing has been copied yet. */
    assert_non_null(spool_clean_next(x->spool));
    assert_true(disk_sim_file_length(x->sim, "segment", "0000") < 0);
    fixture_kill(x);
    fixture_start(x);
    assert_int_equal(x->found_count, MESSAGES - 1);
    assert_null(fixture_find(x, RECORD_MESSAGE, MESSAGES));
}

static bool
nothing_lives(void *context, const struct spool_found *f)
{
    (void)context;
    (void)f;
    return false;
}

static void
no_move(void *context, enum record_type type, uint64_t id,
    const struct spool_place *from, const struct spool_place *to)
{
    (void)context;
    (void)type;
    (void)id;
    (void)from;
    (void)to;
}

static void
count_kept(void *context, const char *name)
{
    unsigned *kept = context;

    *kept += strstr(name, "-unreadable") != NULL;
}

/*
 * A head in a sealed segment that cannot be read: there is nothing to set aside,
 * so the file is, when it has been emptied.
 */
static void
test_unreadable_head(void **state)
{
    const struct spool_cleaner cleaner = { nothing_lives, no_move, NULL };
    struct fixture *x = *state;
    struct disk *disk = x->options.disk;
    int dir, fd;
    unsigned kept = 0;

    fill_segments(x);
    spool_close(x->spool);
    dir = disk->open(disk, x->options.dir, "segment", 0, 0);
    fd = disk->open(disk, dir, "0000", 0, 0);
    disk_sim_bad_place(x->sim, fd, 2 * BLOCK, 2 * BLOCK + 512);
    (void)disk->close(disk, fd);
    (void)disk->close(disk, dir);
    fixture_start(x);
    assert_int_equal(x->found_count, 199);
    assert_null(fixture_find(x, RECORD_MESSAGE, 2));
    assert_int_equal(x->damage_count, 1);
    assert_non_null(strstr(x->damage[0], "cannot be read"));
    while (spool_clean(x->spool, &cleaner))
        continue;
    dir = disk->open(disk, x->options.dir, "damaged", 0, 0);
    assert_int_equal(disk->list(disk, dir, count_kept, &kept), 0);
    (void)disk->close(disk, dir);
    assert_int_equal(kept, 1);
}

int
main(void)
{
#define ON_SIM(test) \
    cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        ON_SIM(test_below_the_mark),
        ON_SIM(test_torn_tail),
        ON_SIM(test_clean_end),
        ON_SIM(test_many_places),
        ON_SIM(test_half_a_transaction),
        ON_SIM(test_index_block),
        ON_SIM(test_sealed_record),
        ON_SIM(test_sealed_content),
        ON_SIM(test_segment_header),
        ON_SIM(test_many_closures),
        ON_SIM(test_set_aside_twice),
        ON_SIM(test_unreadable),
        ON_SIM(test_unreadable_head),
        ON_SIM(test_closure_moves_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
