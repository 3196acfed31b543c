/*
 * One spool takes over the messages of another, and the power is cut at every
 * step of that, for both at the same time. From what is left the adoption is
 * begun again, and in the end each message is there once: with its envelope, its
 * content, its state; what was deleted meanwhile does not come back; and the
 * other spool is nobody's any more.
 */
#include "lib/base/crc32c.h"
#include "qmgr/adopt.h"
#include "tests/crash/quiet_open.h"
#include "tests/unit/qmgr_world.h"

#include <errno.h>

enum {
    MESSAGES = 150,
    SEGMENT = 64 * 1024,
    DISK = 16 * 1024 * 1024,
    VARIANTS = 2, /* of torn and reordered cuts, at each step */
};

static const char main_cf[] = "default_transport = smtp\n";

struct fate {
    bool deleting, deleted;
};

struct test {
    struct world w;
    struct disk_sim *other;
    struct config_set *set;
    struct fate fates[MESSAGES];
    unsigned cuts;
    uint64_t rng;
    bool ended;
    struct adopt_end end;
};

static uint64_t
number_id(unsigned i)
{
    uint64_t time = (1600000000 + i) * (uint64_t)1000000;

    /* Some come from a host whose clock is ahead of ours. */
    if (i % 10 == 7)
        time += 400000000 * (uint64_t)1000000;
    return time << 10;
}

static size_t
content_len(unsigned i)
{
    return i % 13 == 0 ? 9000 : 300 + i;
}

static bool
has_blob(unsigned i)
{
    return i % 25 == 3;
}

static char *
content_of(unsigned i)
{
    char *octets = mem_alloc(content_len(i) + 1);

    memset(octets, 'a' + (int)(i % 26), content_len(i));
    return octets;
}

/* The other spool, as a queue manager would have written it. */

static void
put(struct spool *s, struct spool_record *records, size_t count)
{
    struct spool_txn txn = { .records = records, .record_count = count };
    struct list txns = LIST_INIT(txns);

    list_append(&txns, &txn.link);
    spool_commit(s, &txns);
    assert_int_equal(txn.result, RESULT_OK);
}

static uint64_t
put_blob(struct spool *s, struct disk *disk, const char *octets, size_t len)
{
    struct iovec iov = { (void *)(uintptr_t)octets, len };
    uint64_t number;
    struct why why;
    int fd;

    assert_int_equal(spool_blob_lend(s, &fd, &why), RESULT_OK);
    assert_int_equal(disk->write(disk, fd, &iov, 1, 0), 0);
    assert_int_equal(spool_blob_keep(s, fd, len, crc32c(0, octets, len),
                         &number, &why),
        RESULT_OK);
    spool_blob_close(s, fd);
    return number;
}

static void
put_message(struct spool *s, struct disk *disk, unsigned i)
{
    char *octets = content_of(i), sender[40];
    struct envelope env = { .id = number_id(i),
        .arrival_us = 1600000000000000 };
    struct message_record r = { 0 };
    struct message_brief brief = { .recipients = 1,
        .arrival_ms = 1600000000000,
        .flags = i % 3 == 1 ? BRIEF_HELD : 0 };
    struct status_brief status = { .version = 1,
        .unsettled = 1,
        .next_try_ms = 1900000000000,
        .attempts = i };
    struct recipient to = { .address = SLICE_LIT("r@d.test") };
    struct spool_record records[2] = { { .type = RECORD_MESSAGE, .id = env.id },
        { .type = RECORD_STATUS, .id = env.id } };
    struct buf envelope, head, text, changed;
    struct arena arena;
    struct why why;

    (void)snprintf(sender, sizeof(sender), "s%u@other.test", i);
    env.sender = slice_of(sender);
    arena_init(&arena, 1 << 20);
    buf_init(&envelope, 1 << 20);
    buf_init(&head, 1 << 20);
    buf_init(&text, 1 << 20);
    buf_init(&changed, 1 << 20);
    assert_int_equal(envelope_add_recipient(&env, &arena, &to, &why),
        RESULT_OK);
    envelope_encode(&env, &envelope);
    r.envelope = buf_slice(&envelope);
    if (has_blob(i)) {
        r.blob = put_blob(s, disk, octets, content_len(i));
        r.blob_length = content_len(i);
        r.blob_crc = crc32c(0, octets, content_len(i));
        records[0].blob = r.blob;
    } else {
        r.header_length = (uint32_t)content_len(i);
        records[0].content = (struct slice){ octets, content_len(i) };
    }
    message_record_encode(&r, &head);
    message_brief_encode(&brief, &text);
    status_brief_encode(&status, &changed);
    records[0].head = buf_slice(&head);
    records[0].brief = buf_slice(&text);
    records[1].brief = buf_slice(&changed);
    put(s, records, 1);
    if (i % 3 == 2)
        put(s, &records[1], 1);
    buf_fini(&envelope);
    buf_fini(&head);
    buf_fini(&text);
    buf_fini(&changed);
    arena_clear(&arena);
    mem_free(octets);
}

static enum result
open_other(struct disk_sim *sim, uint64_t segment, struct spool **s,
    struct why *why)
{
    struct spool_options options = {
        .disk = disk_sim_disk(sim),
        .dir = disk_sim_root(sim),
        .segment_size = segment,
    };

    return spool_open(&options, found_nothing, no_damage, NULL, s, why);
}

static struct disk_sim *
other_new(void)
{
    struct disk_sim *sim = disk_sim_new(DISK);
    struct spool *s;
    struct why why;

    assert_int_equal(open_other(sim, SEGMENT, &s, &why), RESULT_OK);
    for (unsigned i = 0; i < MESSAGES; i++)
        put_message(s, disk_sim_disk(sim), i);
    spool_close(s);
    return sim;
}

/* What is ours afterwards. */

static void
check_content(struct world *w, const struct entry *e,
    const struct message_record *r, struct slice content, unsigned i)
{
    char *want = content_of(i), *got;
    struct disk *disk = disk_sim_disk(w->sim);
    struct why why;
    int fd;

    if (!has_blob(i)) {
        assert_int_equal(content.len, content_len(i));
        assert_memory_equal(content.ptr, want, content.len);
    } else {
        got = mem_alloc(content_len(i));
        assert_int_equal(e->blob, r->blob);
        assert_int_equal(spool_blob_open(w->spool, e->blob, &fd, &why),
            RESULT_OK);
        assert_int_equal(disk->length(disk, fd), content_len(i));
        assert_int_equal(disk->read(disk, fd, got, content_len(i), 0),
            content_len(i));
        assert_memory_equal(got, want, content_len(i));
        spool_blob_close(w->spool, fd);
        mem_free(got);
    }
    mem_free(want);
}

static void
check_state(const struct entry *e, unsigned i)
{
    if (i % 3 == 1)
        assert_int_equal(e->state, ENTRY_HELD);
    if (i % 3 == 2) {
        assert_int_equal(e->state, ENTRY_DEFERRED);
        assert_int_equal(e->attempts, i);
        assert_true(place_is_set(&e->status));
    }
}

/* Which message it is; MESSAGES: one of our own. */
static unsigned
check_entry(struct world *w, const struct entry *e)
{
    struct buf head, content;
    struct message_record r;
    struct envelope env;
    struct arena arena;
    unsigned i = MESSAGES;
    char sender[40];
    struct why why;

    buf_init(&head, 1 << 20);
    buf_init(&content, 1 << 20);
    arena_init(&arena, 1 << 20);
    assert_int_equal(spool_read(w->spool, &e->place, e->id, &head, &content,
                         &why),
        RESULT_OK);
    if (place_is_set(&e->content)) {
        struct buf none;

        buf_init(&none, 1 << 20);
        assert_int_equal(spool_read(w->spool, &e->content, e->id, &none,
                             &content, &why),
            RESULT_OK);
        buf_fini(&none);
    }
    assert_int_equal(message_record_decode(buf_slice(&head), &r, &why),
        RESULT_OK);
    assert_int_equal(envelope_decode(r.envelope, &arena, &env, &why),
        RESULT_OK);
    assert_true(env.id == e->id);
    (void)snprintf(sender, sizeof(sender), SLICE_FMT, SLICE_ARG(env.sender));
    /* NOLINTNEXTLINE(cert-err34-c): a number that we wrote */
    if (sscanf(sender, "s%u@other.test", &i) == 1) {
        assert_true(i < MESSAGES);
        check_content(w, e, &r, buf_slice(&content), i);
        check_state(e, i);
        /* Kept unless it was ours, or is of the future. */
        assert_int_equal(e->id == number_id(i), i != 5 && i % 10 != 7);
    }
    buf_fini(&head);
    buf_fini(&content);
    arena_clear(&arena);
    return i;
}

static void
check_all(const struct test *t, struct world *w)
{
    unsigned seen[MESSAGES + 1] = { 0 };

    for (struct map_node *n = map_first(&w->q.index.entries); n != NULL;
         n = map_after(&w->q.index.entries, n))
        seen[check_entry(w, LIST_ENTRY(n, struct entry, node))]++;
    assert_int_equal(seen[MESSAGES], 1); /* ours */
    for (unsigned i = 0; i < MESSAGES; i++) {
        const struct fate *f = &t->fates[i];

        if (f->deleted)
            assert_int_equal(seen[i], 0);
        else if (f->deleting)
            assert_in_range(seen[i], 0, 1);
        else
            assert_int_equal(seen[i], 1);
    }
}

static void
ended(void *context, const struct adopt_end *end)
{
    struct test *t = context;

    t->ended = true;
    t->end = *end;
}

static void
begin(struct test *t, struct world *w, struct disk_sim *other)
{
    struct disk *disk = disk_sim_disk(other);
    const struct adopt_order order = {
        .disk = disk,
        .dir = disk->open(disk, disk_sim_root(other), ".", O_RDONLY, 0),
        .done = ended,
        .context = t,
    };

    t->ended = false;
    adopt_begin(&w->q, &order);
}

static void
run_to_end(struct test *t, struct world *w)
{
    for (unsigned i = 0; !t->ended; i++) {
        assert_true(i < 1000);
        world_pass_ms(w, 20);
    }
    if (t->end.result != RESULT_OK)
        print_message("  %s\n", t->end.why.text);
}

static void
check_other(struct disk_sim *other)
{
    struct spool *s;
    struct why why;

    assert_int_equal(open_other(other, SEGMENT, &s, &why), RESULT_PERMFAIL);
    assert_non_null(strstr(why.text, "adopted by"));
}

/* The power is cut; both are started from what is left, and it goes on. */
static void
try_cut(struct test *t, enum cut kind)
{
    struct disk_sim *other;
    int64_t now = clock_now_ms(), wall = clock_wall_us();
    static struct test left;
    uint64_t seed;

    t->rng = t->rng * 6364136223846793005 + 1442695040888963407;
    seed = t->rng >> 16;
    t->cuts++;
    other = disk_sim_cut(t->other, kind, seed);
    left = (struct test){ .other = other };
    memcpy(left.fates, t->fates, sizeof(left.fates));
    world_open_on(&left.w, t->set, disk_sim_cut(t->w.sim, kind, seed ^ 1),
        SEGMENT);
    begin(&left, &left.w, other);
    run_to_end(&left, &left.w);
    if (left.end.result != RESULT_OK)
        fail_msg("%s", left.end.why.text);
    check_all(&left, &left.w);
    check_other(other);
    world_close_all(&left.w);
    disk_sim_free(other);
    clock_set(now, wall);
}

static void
cut_now(void *context)
{
    struct test *t = context;

    try_cut(t, CUT_KEPT);
    try_cut(t, CUT_LOST);
    for (unsigned i = 0; i < VARIANTS; i++)
        try_cut(t, i % 2 == 0 ? CUT_TORN : CUT_REORDERED);
}

static void
edited(struct edit *edit, uint64_t id)
{
    struct fate *f = edit->owner;

    (void)id;
    f->deleted = true;
}

/* An admin deletes some of what has come. */
static void
delete_one(struct test *t, struct edit *edits)
{
    for (unsigned i = 0; i < MESSAGES; i += 4) {
        struct entry *e = index_find(&t->w.q.index, number_id(i));

        if (e == NULL || i == 5 || t->fates[i].deleting)
            continue;
        t->fates[i].deleting = true;
        edits[i] = (struct edit){ .done = edited, .owner = &t->fates[i] };
        assert_true(edit_message(&t->w.q, e, EDIT_DELETE, ~0U, &edits[i]));
        return;
    }
}

static void
open_test(struct test *t)
{
    const struct world_mail mine = {
        .sender = "me@own.test",
        .recipients = { "r@d.test" },
        .flags = ENVELOPE_HOLD,
        .body = 100,
    };
    struct why why;

    *t = (struct test){ .rng = 4711 };
    log_set_sink(world_no_log, NULL, NULL);
    random_set_seed(1);
    assert_int_equal(config_from_text(main_cf, world_master_cf, &t->set, &why),
        RESULT_OK);
    t->other = other_new();
    world_open_on(&t->w, t->set, disk_sim_new(DISK), SEGMENT);
    (void)world_lease(&t->w);
    /* One that we have, too. */
    world_submit_as(&t->w, number_id(5), &mine, NULL);
    world_settle(&t->w);
    assert_int_equal(t->w.answered_ok, 1);
}

static void
close_test(struct test *t)
{
    world_close_all(&t->w);
    disk_sim_free(t->other);
    config_drop(t->set);
}

/* Settled by so many transactions, none of which a STATUS took up. */
static void
put_parts(struct spool *s, unsigned message, unsigned count)
{
    const struct status_brief part = { .flags = STATUS_PART };
    struct spool_record r = { .type = RECORD_STATUS, .id = number_id(message) };
    struct buf brief;

    buf_init(&brief, 1 << 10);
    status_brief_encode(&part, &brief);
    r.brief = buf_slice(&brief);
    while (count-- > 0)
        put(s, &r, 1);
    buf_fini(&brief);
}

/* No transaction takes it where segments are smaller. */
static void
put_giant(struct spool *s, unsigned message, size_t len)
{
    char *octets = mem_alloc(len);
    const struct message_brief brief = { .recipients = 1 };
    struct spool_record r = { .type = RECORD_MESSAGE,
        .id = number_id(message),
        .head = SLICE_LIT("not looked at"),
        .content = { octets, len } };
    struct buf text;

    buf_init(&text, 1 << 10);
    message_brief_encode(&brief, &text);
    r.brief = buf_slice(&text);
    put(s, &r, 1);
    buf_fini(&text);
    mem_free(octets);
}

/*
 * A message of very many records has a transaction for itself; one that is larger
 * than ours can be stays where it is. The others come all the same.
 */
static void
test_large_messages(void **state)
{
    enum { OURS = 512 * 1024, THEIRS = 2048 * 1024, PARTS = 1500 };
    static struct test t;
    struct spool *s;
    struct why why;

    (void)state;
    log_set_sink(world_no_log, NULL, NULL);
    random_set_seed(1);
    t = (struct test){ .other = disk_sim_new(DISK) };
    assert_int_equal(config_from_text(main_cf, world_master_cf, &t.set, &why),
        RESULT_OK);
    assert_int_equal(open_other(t.other, THEIRS, &s, &why), RESULT_OK);
    for (unsigned i = 0; i < 10; i++) {
        if (i == 4)
            put_giant(s, i, OURS);
        else
            put_message(s, disk_sim_disk(t.other), i);
    }
    put_parts(s, 6, PARTS);
    spool_close(s);
    world_open_on(&t.w, t.set, disk_sim_new(DISK), OURS);
    (void)world_lease(&t.w);
    begin(&t, &t.w, t.other);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_OK);
    assert_int_equal(t.end.moved, 9);
    assert_int_equal(t.end.damaged, 1);
    assert_null(index_find(&t.w.q.index, number_id(4)));
    assert_int_equal(index_parts(&t.w.q.index,
                         index_find(&t.w.q.index, number_id(6)), NULL, 0),
        PARTS);
    close_test(&t);
}

static void
test_adopt(void **state)
{
    static struct test t;

    (void)state;
    open_test(&t);
    begin(&t, &t.w, t.other);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_OK);
    assert_int_equal(t.end.moved, MESSAGES);
    assert_int_equal(t.end.repeated + t.end.damaged, 0);
    check_all(&t, &t.w);
    check_other(t.other);
    /* Again: nothing is left to do, and nothing comes twice. */
    begin(&t, &t.w, t.other);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_OK);
    assert_int_equal(t.end.moved, 0);
    check_all(&t, &t.w);
    /* Nor after a new start. */
    world_crash_by(&t.w, CUT_LOST, 1);
    world_start(&t.w);
    begin(&t, &t.w, t.other);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_OK);
    assert_int_equal(t.end.moved, 0);
    check_all(&t, &t.w);
    close_test(&t);
}

static void
test_in_use(void **state)
{
    static struct test t;
    struct spool *s;
    struct why why;

    (void)state;
    open_test(&t);
    assert_int_equal(open_other(t.other, SEGMENT, &s, &why), RESULT_OK);
    begin(&t, &t.w, t.other);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_TEMPFAIL);
    assert_non_null(strstr(t.end.why.text, "in use"));
    spool_close(s);
    /* Our own is in use, too: by us. */
    begin(&t, &t.w, t.w.sim);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_TEMPFAIL);
    begin(&t, &t.w, t.other);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_OK);
    close_test(&t);
}

/* Of two copies of a spool the second is refused, and left as it was. */
static void
test_copy(void **state)
{
    static struct test t;
    struct disk_sim *copy;
    struct spool *s;
    struct why why;

    (void)state;
    open_test(&t);
    copy = disk_sim_cut(t.other, CUT_KEPT, 1);
    begin(&t, &t.w, t.other);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_OK);
    for (unsigned i = 0; i < 2; i++) {
        begin(&t, &t.w, copy);
        run_to_end(&t, &t.w);
        assert_int_equal(t.end.result, RESULT_PERMFAIL);
        assert_non_null(strstr(t.end.why.text, "copy"));
        check_all(&t, &t.w);
    }
    assert_int_equal(open_other(copy, SEGMENT, &s, &why), RESULT_OK);
    spool_close(s);
    disk_sim_free(copy);
    close_test(&t);
}

/* A disk that fills up: what has come stays, the rest comes later. */
static void
test_full_disk(void **state)
{
    static struct test t;
    uint64_t moved;

    (void)state;
    open_test(&t);
    disk_sim_set_capacity(t.w.sim, disk_sim_used(t.w.sim) + 96 * 1024);
    begin(&t, &t.w, t.other);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_TEMPFAIL);
    moved = t.end.moved;
    assert_in_range(moved, 1, MESSAGES - 1);
    disk_sim_set_capacity(t.w.sim, DISK);
    world_pass_ms(&t.w, 3000);
    begin(&t, &t.w, t.other);
    run_to_end(&t, &t.w);
    assert_int_equal(t.end.result, RESULT_OK);
    assert_int_equal(t.end.moved, MESSAGES - moved);
    assert_int_equal(t.end.repeated, moved);
    check_all(&t, &t.w);
    close_test(&t);
}

static void
test_power_cuts(void **state)
{
    static struct edit edits[MESSAGES];
    static struct test t;

    (void)state;
    open_test(&t);
    disk_sim_watch(t.w.sim, cut_now, &t);
    disk_sim_watch(t.other, cut_now, &t);
    begin(&t, &t.w, t.other);
    for (unsigned i = 0; !t.ended; i++) {
        assert_true(i < 10000);
        qmgr_pump(&t.w.q);
        if (!world_step_disk(&t.w) && !world_step_txn(&t.w))
            clock_advance_ms(5);
        delete_one(&t, edits);
    }
    world_settle(&t.w);
    assert_int_equal(t.end.result, RESULT_OK);
    check_all(&t, &t.w);
    disk_sim_watch(t.w.sim, NULL, NULL);
    disk_sim_watch(t.other, NULL, NULL);
    print_message("%u power cuts\n", t.cuts);
    assert_true(t.cuts > 200);
    close_test(&t);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adopt),
        cmocka_unit_test(test_large_messages),
        cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_power_cuts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
