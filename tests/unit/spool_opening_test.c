/*
 * A start by many threads finds what a start by one does: with messages that the
 * cleaner left in several segments, and index blocks that are damaged.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "tests/unit/spool_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    SEEDS = 6,
    MESSAGES = 1200,
    CONTENT = 2500,
    SPOTS = 8,
    PIECE = 65536,
    THREADS = 8,
    LAST_OCTETS = 4 * 4096,
};

/* A queue of which some stays, in the hands of one who forgets nothing. */
struct owner {
    struct fixture *x;
    struct spool_place message[MESSAGES + 1], content[MESSAGES + 1],
        status[MESSAGES + 1];
    uint64_t rng;
};

static uint64_t
any(struct owner *o, uint64_t below)
{
    o->rng = o->rng * 6364136223846793005 + 1442695040888963407;
    return (o->rng >> 33) % below;
}

static struct spool_place *
place_of(struct owner *o, enum record_type type, uint64_t id)
{
    assert_in_range(id, 1, MESSAGES);
    return type == RECORD_MESSAGE ? &o->message[id]
        : type == RECORD_CONTENT  ? &o->content[id]
                                  : &o->status[id];
}

static bool
is_live(void *context, const struct spool_found *f)
{
    const struct spool_place *at = place_of(context, f->type, f->id);

    return at->segment == f->place.segment && at->offset == f->place.offset;
}

static void
moved(void *context, enum record_type type, uint64_t id,
    const struct spool_place *from, const struct spool_place *to)
{
    (void)from;
    *place_of(context, type, id) = *to;
}

static void
drop(struct owner *o, uint64_t id)
{
    struct spool *s = o->x->spool;

    fixture_remove(o->x, id, &o->message[id]);
    spool_record_dead(s, &o->content[id]);
    spool_record_dead(s, &o->status[id]);
    o->message[id] = o->content[id] = o->status[id] = (struct spool_place){ 0 };
}

/* A segment is copied, and not given up any more. */
static void
clean_half(struct owner *o)
{
    struct spool_step *step = spool_clean_next(o->x->spool);

    if (step == NULL)
        return;
    for (size_t i = 0; i < step->count; i++)
        step->moves[i].live = is_live(o, &step->moves[i].found);
    spool_clean_copy(o->x->spool, step);
}

/* Its owner is killed in the middle of cleaning, and finds it again. */
static void
start_again(struct owner *o)
{
    const struct spool_cleaner cleaner = { is_live, moved, o };
    struct fixture *x = o->x;

    clock_advance_ms(1000);
    for (uint64_t steps = any(o, 4); steps > 0; steps--)
        (void)spool_clean(x->spool, &cleaner);
    clean_half(o);
    fixture_kill(x);
    fixture_start(x);
    assert_int_equal(x->damage_count, 0);
    memset(o->message, 0, sizeof(o->message));
    memset(o->content, 0, sizeof(o->content));
    memset(o->status, 0, sizeof(o->status));
    for (size_t i = 0; i < x->found_count; i++)
        *place_of(o, x->found[i].type, x->found[i].id) = x->found[i].place;
}

static void
fill(struct owner *o)
{
    struct why why;

    for (uint64_t id = 1; id <= MESSAGES; id++) {
        assert_int_equal(fixture_message(o->x, id, any(o, CONTENT),
                             &o->message[id], &why),
            RESULT_OK);
        if (any(o, 2) == 0)
            o->status[id] = fixture_put(o->x, RECORD_STATUS, id, "again", "");
        for (unsigned i = 0; i < 2; i++) {
            uint64_t gone = 1 + any(o, id);

            if (o->message[gone].segment != 0 && any(o, 3) > 0)
                drop(o, gone);
        }
        if (any(o, 100) == 0)
            start_again(o);
    }
}

/* Its files as they are, in a directory of the machine's. */

struct copying {
    struct fixture *x;
    const char *folder;
    int to;
};

static void
copy_file(void *context, const char *name)
{
    static char piece[PIECE];
    const struct copying *c = context;
    uint64_t at = 0;
    size_t n;
    int fd = openat(c->to, name, O_RDWR | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0);
    while ((n = disk_sim_file_read(c->x->sim, c->folder, name, at, piece,
                PIECE)) > 0) {
        assert_int_equal(pwrite(fd, piece, n, (off_t)at), n);
        at += n;
    }
    close(fd);
}

static void
copy_folder(struct fixture *x, int dir, const char *folder)
{
    struct disk *disk = x->options.disk;
    struct copying c = { .x = x, .folder = folder };
    int from = disk->open(disk, x->options.dir, folder, O_RDONLY | O_DIRECTORY,
        0);

    assert_int_equal(mkdirat(dir, folder, 0700), 0);
    c.to = openat(dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(disk->list(disk, from, copy_file, &c), 0);
    close(c.to);
    (void)disk->close(disk, from);
}

struct spot {
    unsigned slot;
    uint64_t offset;
};

static void
damage(int dir, const struct spot *spot)
{
    char name[32], octet;
    int fd;

    (void)snprintf(name, sizeof(name), "segment/%04u", spot->slot);
    fd = openat(dir, name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (pread(fd, &octet, 1, (off_t)spot->offset) == 1) {
        octet = (char)(octet ^ 0x20);
        assert_int_equal(pwrite(fd, &octet, 1, (off_t)spot->offset), 1);
    }
    close(fd);
}

/* What a start by so many threads finds in a copy of x. */
static void
open_copy(struct fixture *x, const struct spot *spots, size_t count,
    unsigned threads, struct fixture *found)
{
    char path[] = "/tmp/opening_test.XXXXXX", command[64];
    struct copying owner = { .x = x, .folder = "" };

    assert_non_null(mkdtemp(path));
    *found = (struct fixture){ .options = x->options };
    found->found = mem_alloc_array(FOUND_MAX, sizeof(*found->found));
    found->options.disk = &disk_real;
    found->options.threads = threads;
    found->options.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    copy_folder(x, found->options.dir, "segment");
    owner.to = found->options.dir;
    copy_file(&owner, "owner");
    for (size_t i = 0; i < count; i++)
        damage(found->options.dir, &spots[i]);
    fixture_start(found);
    spool_close(found->spool);
    close(found->options.dir);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", path);
    /* NOLINTNEXTLINE(cert-env33-c): a name that we made */
    assert_int_equal(system(command), 0);
}

static void
check_same(const struct fixture *a, const struct fixture *b)
{
    assert_int_equal(a->found_count, b->found_count);
    for (size_t i = 0; i < a->found_count; i++) {
        const struct found *x = &a->found[i], *y = &b->found[i];

        assert_int_equal(x->type, y->type);
        assert_int_equal(x->id, y->id);
        assert_int_equal(x->parted, y->parted);
        assert_string_equal(x->head, y->head);
        assert_memory_equal(&x->place, &y->place, sizeof(x->place));
    }
    assert_int_equal(a->damage_count, b->damage_count);
    assert_memory_equal(a->damage, b->damage, sizeof(a->damage));
}

/* Each message that is in the queue once, with its state and its content. */
static void
check_all(struct owner *o, const struct fixture *found)
{
    size_t count = 0;

    for (uint64_t id = 1; id <= MESSAGES; id++) {
        const struct found *m = fixture_find(found, RECORD_MESSAGE, id);
        const struct found *s = fixture_find(found, RECORD_STATUS, id);

        assert_int_equal(m != NULL, o->message[id].segment != 0);
        assert_int_equal(s != NULL, o->status[id].segment != 0);
        count += m != NULL;
        count += s != NULL;
        count += m != NULL && m->parted;
    }
    assert_int_equal(count, found->found_count);
    assert_int_equal(found->damage_count, 0);
}

static unsigned
count_indexes(const struct fixture *found)
{
    unsigned n = 0;

    for (size_t i = 0; i < sizeof(found->damage) / sizeof(found->damage[0]);
         i++)
        n += strstr(found->damage[i], "index block") != NULL;
    return n;
}

/* How many index blocks were damaged. */
static unsigned
compare(struct owner *o, const struct spot *spots, size_t count)
{
    unsigned damaged;
    struct fixture one, many;

    open_copy(o->x, spots, count, 0, &one);
    open_copy(o->x, spots, count, THREADS, &many);
    check_same(&one, &many);
    if (count == 0)
        check_all(o, &many);
    damaged = count_indexes(&many);
    mem_free(one.found);
    mem_free(many.found);
    return damaged;
}

static void
test_threads(void **state)
{
    struct owner *o = mem_alloc(sizeof(*o));
    unsigned damaged = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct spot spots[SPOTS];
        void *made;

        assert_int_equal(fixture_setup(&made), 0);
        *o = (struct owner){ .x = made, .rng = seed };
        fill(o);
        start_again(o);
        spool_close(o->x->spool);
        o->x->spool = NULL;
        (void)compare(o, NULL, 0);
        /* Most index blocks are in the last blocks of their segments. */
        for (size_t i = 0; i < SPOTS; i++) {
            uint64_t size = o->x->options.segment_size;

            spots[i].slot = (unsigned)any(o, 12);
            spots[i].offset = i % 2 == 0 ? any(o, size)
                                         : size - 1 - any(o, LAST_OCTETS);
        }
        damaged += compare(o, spots, SPOTS);
        assert_int_equal(fixture_teardown(&made), 0);
    }
    assert_true(damaged >= SEEDS / 2);
    mem_free(o);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
