/*
 * postern adopt-spool on a directory that somebody prepared who means harm: what
 * is wrong with it stays there, and costs nobody anything else.
 */
#include "lib/base/crc32c.h"
#include "qmgr/adopt.h"
#include "qmgr/spool/format.h"
#include "tests/crash/quiet_open.h"
#include "tests/unit/qmgr_world.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SEGMENT = 128 * 1024,
    DISK = 16 * 1024 * 1024,
    SECONDS = 20,
    VICTIM = 1000
};

static const char main_cf[] = "default_transport = smtp\n";

struct test {
    struct world w;
    char path[64];
    int dir;
    bool ended;
    struct adopt_end end;
};

/* Their spool. */

static struct spool *
open_theirs(struct test *t)
{
    struct spool_options options = {
        .disk = &disk_real,
        .dir = t->dir,
        .segment_size = SEGMENT,
    };
    struct spool *s;
    struct why why;

    if (spool_open(&options, found_nothing, no_damage, NULL, &s, &why) !=
        RESULT_OK)
        fail_msg("%s", why.text);
    return s;
}

static void
put(struct spool *s, struct spool_record *r)
{
    struct spool_txn txn = { .records = r, .record_count = 1 };
    struct list txns = LIST_INIT(txns);

    list_append(&txns, &txn.link);
    spool_commit(s, &txns);
    assert_int_equal(txn.result, RESULT_OK);
}

static uint64_t
number_id(unsigned i)
{
    return (1600000000 + i) * (uint64_t)1000000 << 10;
}

/* A message as it should be, but for what change says. */
struct change {
    int64_t arrival_ms;
    uint64_t blob, blob_length;
    uint32_t blob_crc;
    enum record_type type; /* 0: RECORD_MESSAGE */
};

static void
put_message(struct spool *s, unsigned i, const struct change *c)
{
    struct envelope env = { .id = number_id(i),
        .arrival_us = 1600000000000000,
        .sender = SLICE_LIT("s@other.test") };
    struct message_record m = { .blob = c->blob,
        .blob_length = c->blob_length,
        .blob_crc = c->blob_crc,
        .header_length = 4 };
    struct message_brief brief = { .recipients = 1,
        .arrival_ms = c->arrival_ms == 0 ? 1600000000000 : c->arrival_ms };
    struct recipient to = { .address = SLICE_LIT("r@d.test") };
    struct spool_record r = { .type = c->type == 0 ? RECORD_MESSAGE : c->type,
        .id = env.id,
        .blob = c->blob,
        .content = SLICE_LIT("a:\r\n") };
    struct buf envelope, head, text;
    struct arena arena;
    struct why why;

    arena_init(&arena, 1 << 20);
    buf_init(&envelope, 1 << 20);
    buf_init(&head, 1 << 20);
    buf_init(&text, SPOOL_BRIEF_MAX);
    assert_int_equal(envelope_add_recipient(&env, &arena, &to, &why),
        RESULT_OK);
    envelope_encode(&env, &envelope);
    m.envelope = buf_slice(&envelope);
    message_record_encode(&m, &head);
    message_brief_encode(&brief, &text);
    r.head = buf_slice(&head);
    r.brief = buf_slice(&text);
    put(s, &r);
    buf_fini(&envelope);
    buf_fini(&head);
    buf_fini(&text);
    arena_clear(&arena);
}

/* A file, a link or a pipe of theirs; its path. */
static const char *
path_of(const struct test *t, const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", t->path, name);
    return path;
}

/* Ours. */

static void
ended(void *context, const struct adopt_end *end)
{
    struct test *t = context;

    t->ended = true;
    t->end = *end;
}

static struct adopt_order
order_of(struct test *t)
{
    t->ended = false;
    return (struct adopt_order){
        .disk = &disk_real,
        .dir = openat(t->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
        .done = ended,
        .context = t,
    };
}

static void
run_to_end(struct test *t)
{
    for (unsigned i = 0; !t->ended; i++) {
        assert_true(i < 1000);
        world_pass_ms(&t->w, 20);
    }
}

static void
adopt(struct test *t)
{
    const struct adopt_order order = order_of(t);

    (void)alarm(SECONDS); /* a pipe would be waited for for ever */
    adopt_begin(&t->w.q, &order);
    run_to_end(t);
    (void)alarm(0);
}

/*
 * A message that is being adopted keeps its id. One of ours, whose submitter had
 * leased just that, is not taken before it is known that there is another.
 */
static void
test_same_id(void **state)
{
    const struct world_mail mine = { .sender = "me@own.test",
        .recipients = { "r@d.test" },
        .flags = ENVELOPE_HOLD };
    struct test *t = *state;
    struct spool *s = open_theirs(t);
    struct adopt_order order;

    put_message(s, 1, &(struct change){ 0 });
    spool_close(s);
    order = order_of(t);
    adopt_begin(&t->w.q, &order);
    while (
        gather_due_ms(&t->w.gathered) == CLOCK_NEVER && list_empty(&t->w.txns))
        assert_true(world_step_disk(&t->w));
    world_submit_as(&t->w, number_id(1), &mine, NULL);
    assert_int_equal(t->w.answered_temp, 1);
    run_to_end(t);
    assert_int_equal(t->end.moved, 1);
    assert_int_equal(t->w.q.index.entries.count, 1);
}

static int
set_up(void **state)
{
    struct test *t = mem_alloc(sizeof(*t));
    struct config_set *set = world_config(main_cf, world_master_cf);

    (void)snprintf(t->path, sizeof(t->path), "/tmp/foreign_test.XXXXXX");
    if (mkdtemp(t->path) == NULL)
        return -1;
    t->dir = open(t->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    log_set_sink(world_no_log, NULL, NULL);
    random_set_seed(1);
    world_open_on(&t->w, set, disk_sim_new(DISK), SEGMENT);
    config_drop(set);
    (void)world_lease(&t->w);
    *state = t;
    return 0;
}

static int
tear_down(void **state)
{
    struct test *t = *state;
    char command[128];

    world_close_all(&t->w);
    close(t->dir);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", t->path);
    mem_free(t);
    /* NOLINTNEXTLINE(cert-env33-c): a name that we made */
    return system(command);
}

/* Records that mean nothing: a change whose message is none. */
static void
test_no_message(void **state)
{
    struct test *t = *state;
    struct spool *s = open_theirs(t);
    struct spool_record meta = { .type = RECORD_META,
        .id = number_id(1),
        .head = SLICE_LIT("not looked at") };

    put(s, &meta);
    put_message(s, 1, &(struct change){ .type = RECORD_STATUS });
    put_message(s, 2, &(struct change){ 0 });
    spool_close(s);
    adopt(t);
    assert_int_equal(t->end.result, RESULT_OK);
    assert_int_equal(t->end.moved, 1);
    assert_non_null(index_find(&t->w.q.index, number_id(2)));
}

/* A time that nothing can be added to: it is no message that we understand. */
static void
test_times(void **state)
{
    struct test *t = *state;
    struct spool *s = open_theirs(t);

    put_message(s, 1, &(struct change){ .arrival_ms = INT64_MAX });
    put_message(s, 2, &(struct change){ 0 });
    spool_close(s);
    adopt(t);
    assert_int_equal(t->end.result, RESULT_OK);
    assert_int_equal(index_find(&t->w.q.index, number_id(1))->state,
        ENTRY_DAMAGED);
    assert_int_not_equal(index_find(&t->w.q.index, number_id(2))->state,
        ENTRY_DAMAGED);
}

/* Of a state that cannot be understood it is known where it is: it is kept. */
static void
test_no_state(void **state)
{
    struct test *t = *state;
    struct spool *s = open_theirs(t);
    struct spool_record status = { .type = RECORD_STATUS,
        .id = number_id(1),
        .brief = SLICE_LIT("\x01\xff") };
    const struct entry *e;

    put_message(s, 1, &(struct change){ 0 });
    put(s, &status);
    spool_close(s);
    adopt(t);
    assert_int_equal(t->end.result, RESULT_OK);
    e = index_find(&t->w.q.index, number_id(1));
    assert_int_equal(e->state, ENTRY_DAMAGED);
    assert_true(place_is_set(&e->status));
}

/* What is ours to lose. */
static void
make_victim(const struct test *t, char octets[VICTIM])
{
    int fd = open(path_of(t, "victim"), O_RDWR | O_CREAT | O_EXCL, 0600);

    memset(octets, 'v', VICTIM);
    assert_int_equal(write(fd, octets, VICTIM), VICTIM);
    close(fd);
}

static void
check_victim(const struct test *t, const char octets[VICTIM])
{
    static char is[VICTIM + 1];
    int fd = open(path_of(t, "victim"), O_RDONLY);

    assert_int_equal(read(fd, is, sizeof(is)), VICTIM);
    assert_memory_equal(is, octets, VICTIM);
    close(fd);
}

static void
check_refused(struct test *t, const char *name, const char octets[VICTIM])
{
    adopt(t);
    assert_int_not_equal(t->end.result, RESULT_OK);
    assert_non_null(strstr(t->end.why.text, name));
    assert_int_equal(t->end.moved, 0);
    check_victim(t, octets);
}

/* Names that lead elsewhere, and what is no file at all. */
static void
test_names(void **state)
{
    static const char *const names[] = { "lock", "owner", "segment/0005",
        "segment", "blob", "damaged" };
    static const char *const targets[] = { "victim", "aside", "../victim",
        "aside", "aside", "aside" };
    struct test *t = *state;
    struct spool *s = open_theirs(t);
    char octets[VICTIM], aside[128];

    put_message(s, 1, &(struct change){ 0 });
    spool_close(s);
    make_victim(t, octets);
    (void)snprintf(aside, sizeof(aside), "%s/aside", t->path);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        bool was = access(path_of(t, names[i]), F_OK) == 0;

        if (was)
            assert_int_equal(rename(path_of(t, names[i]), aside), 0);
        assert_int_equal(symlink(targets[i], path_of(t, names[i])), 0);
        check_refused(t, names[i], octets);
        assert_int_equal(unlink(path_of(t, names[i])), 0);
        if (i < 3) {
            assert_int_equal(mkfifo(path_of(t, names[i]), 0600), 0);
            check_refused(t, names[i], octets);
            assert_int_equal(unlink(path_of(t, names[i])), 0);
        }
        if (was)
            assert_int_equal(rename(aside, path_of(t, names[i])), 0);
    }
    adopt(t);
    assert_int_equal(t->end.result, RESULT_OK);
    assert_int_equal(t->end.moved, 1);
}

/* Of a message whose body is no file only that message stays. */
static void
test_bodies(void **state)
{
    struct test *t = *state;
    struct spool *s = open_theirs(t);
    char octets[VICTIM];

    make_victim(t, octets);
    for (unsigned i = 1; i <= 3; i++)
        put_message(s, i,
            &(struct change){ .blob = i,
                .blob_length = sizeof(octets),
                .blob_crc = crc32c(0, octets, sizeof(octets)) });
    put_message(s, 4, &(struct change){ 0 });
    spool_close(s);
    assert_int_equal(symlink("../victim", path_of(t, "blob/0000000000000001")),
        0);
    assert_int_equal(mkfifo(path_of(t, "blob/0000000000000002"), 0600), 0);
    adopt(t);
    assert_int_equal(t->end.result, RESULT_OK);
    assert_int_equal(t->end.damaged, 3);
    assert_int_equal(t->end.moved, 1);
    assert_non_null(index_find(&t->w.q.index, number_id(4)));
}

static void
put_header(const struct test *t, const char *name, uint64_t size, off_t length)
{
    static unsigned char first[BLOCK_SIZE], block[BLOCK_SIZE];
    struct segment_header h;
    int fd = open(path_of(t, "segment/0000"), O_RDONLY);

    assert_int_equal(read(fd, first, sizeof(first)), sizeof(first));
    close(fd);
    assert_int_equal(segment_header_decode(first, &h), HEADER_OK);
    h.key.generation += 7;
    h.size = size;
    segment_header_encode(&h, block);
    fd = open(path_of(t, name), O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
    assert_int_equal(ftruncate(fd, length), 0);
    close(fd);
}

/* Files, and uses of them, larger than any segment, which cost nothing to make. */
static void
test_sizes(void **state)
{
    const off_t huge = (off_t)1 << 42;
    struct stat st;
    struct test *t = *state;
    struct spool *s = open_theirs(t);

    put_message(s, 1, &(struct change){ 0 });
    spool_close(s);
    put_header(t, "segment/0001", (uint64_t)huge, huge);
    put_header(t, "segment/0002", SEGMENT, huge);
    adopt(t);
    assert_int_equal(t->end.result, RESULT_OK);
    assert_int_equal(t->end.moved, 1);
    /* The first is set aside; its name may be in use again. */
    assert_true(stat(path_of(t, "segment/0001"), &st) < 0 || st.st_size < huge);
}

int
main(void)
{
#define FOREIGN(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        FOREIGN(test_no_message),
        FOREIGN(test_times),
        FOREIGN(test_no_state),
        FOREIGN(test_names),
        FOREIGN(test_bodies),
        FOREIGN(test_sizes),
        FOREIGN(test_same_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
