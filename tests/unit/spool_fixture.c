#include "tests/unit/spool_fixture.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CAPACITY = 64 * 1024 * 1024, SEGMENT = 128 * 1024, THREADS = 3 };

static bool
note_found(void *context, const struct spool_found *f, struct why *why)
{
    struct fixture *x = context;
    struct found *to = &x->found[x->found_count];

    (void)why;
    assert_true(x->found_count < FOUND_MAX);
    x->found_count++;
    to->type = f->type;
    to->id = f->id;
    to->blob = f->blob;
    to->place = f->place;
    to->parted = f->parted;
    (void)snprintf(to->head, sizeof(to->head), SLICE_FMT,
        SLICE_ARG(f->head.len > 0 ? f->head : f->brief));
    return true;
}

static void
note_damage(void *context, const char *text)
{
    struct fixture *x = context;

    if (x->damage_count < sizeof(x->damage) / sizeof(x->damage[0]))
        (void)snprintf(x->damage[x->damage_count], sizeof(x->damage[0]), "%s",
            text);
    x->damage_count++;
}

enum result
fixture_open(struct fixture *x, struct why *why)
{
    x->found_count = x->damage_count = 0;
    x->spool = NULL;
    return spool_open(&x->options, note_found, note_damage, x, &x->spool, why);
}

void
fixture_start(struct fixture *x)
{
    struct why why = { 0 };

    if (fixture_open(x, &why) != RESULT_OK)
        fail_msg("open: %s", why.text);
}

static struct fixture *
fixture_new(void)
{
    struct fixture *x = mem_alloc(sizeof(*x));

    x->found = mem_alloc_array(FOUND_MAX, sizeof(*x->found));
    x->options.segment_size = SEGMENT;
    return x;
}

int
fixture_setup(void **state)
{
    struct fixture *x = fixture_new();

    clock_set(1000, 1000000);
    x->sim = disk_sim_new(CAPACITY);
    x->options.disk = disk_sim_disk(x->sim);
    x->options.dir = disk_sim_root(x->sim);
    fixture_start(x);
    *state = x;
    return 0;
}

int
fixture_setup_real(void **state)
{
    struct fixture *x = fixture_new();

    (void)snprintf(x->path, sizeof(x->path), "/tmp/spool_test.XXXXXX");
    if (mkdtemp(x->path) == NULL)
        return -1;
    x->options.disk = &disk_real;
    x->options.threads = THREADS;
    x->options.dir = open(x->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fixture_start(x);
    *state = x;
    return 0;
}

int
fixture_teardown(void **state)
{
    struct fixture *x = *state;
    char command[128];

    spool_close(x->spool);
    disk_sim_free(x->sim);
    clock_unset();
    if (x->sim == NULL) {
        close(x->options.dir);
        (void)snprintf(command, sizeof(command), "rm -rf '%s'", x->path);
        /* NOLINTNEXTLINE(cert-env33-c): a name that we made */
        if (system(command) != 0)
            return -1;
    }
    mem_free(x->found);
    mem_free(x);
    return 0;
}

void
fixture_restart(struct fixture *x)
{
    spool_close(x->spool);
    fixture_start(x);
}

void
fixture_kill(struct fixture *x)
{
    struct disk_sim *left = disk_sim_cut(x->sim, CUT_KEPT, 0);

    spool_close(x->spool);
    disk_sim_free(x->sim);
    x->sim = left;
    x->options.disk = disk_sim_disk(left);
    x->options.dir = disk_sim_root(left);
    x->spool = NULL;
}

const struct found *
fixture_find(const struct fixture *x, enum record_type type, uint64_t id)
{
    for (size_t i = 0; i < x->found_count; i++)
        if (x->found[i].type == type && x->found[i].id == id)
            return &x->found[i];
    return NULL;
}

enum result
fixture_commit(struct fixture *x, struct spool_record *records, size_t count,
    bool settling, struct why *why)
{
    struct spool_txn txn = {
        .records = records,
        .record_count = count,
        .settling = settling,
    };
    struct list txns = LIST_INIT(txns);

    list_append(&txns, &txn.link);
    spool_commit(x->spool, &txns);
    *why = txn.why;
    return txn.result;
}

struct spool_place
fixture_put(struct fixture *x, enum record_type type, uint64_t id,
    const char *head, const char *content)
{
    struct spool_record r = {
        .type = type,
        .id = id,
        .head = slice_of(head),
        .content = slice_of(content),
    };
    struct why why;

    if (fixture_commit(x, &r, 1, true, &why) != RESULT_OK)
        fail_msg("commit: %s", why.text);
    return r.place;
}

static char *
content_of(uint64_t id, size_t len)
{
    char *octets = mem_alloc(len + 1);

    for (size_t i = 0; i < len; i++)
        octets[i] = (char)((id * 31 + i * 7) >> (i % 5));
    return octets;
}

enum result
fixture_message(struct fixture *x, uint64_t id, size_t len,
    struct spool_place *place, struct why *why)
{
    char *content = content_of(id, len), head[40];
    struct spool_record r = {
        .type = RECORD_MESSAGE,
        .id = id,
        .content = { content, len },
    };
    enum result res;

    (void)snprintf(head, sizeof(head), "envelope of %" PRIu64, id);
    r.head = slice_of(head);
    res = fixture_commit(x, &r, 1, false, why);
    if (place != NULL)
        *place = r.place;
    mem_free(content);
    return res;
}

void
fixture_fill(struct fixture *x, uint64_t count, size_t len)
{
    struct why why;

    for (uint64_t id = 1; id <= count; id++)
        assert_int_equal(fixture_message(x, id, len, NULL, &why), RESULT_OK);
}

void
fixture_remove(struct fixture *x, uint64_t id, const struct spool_place *place)
{
    struct spool_record r = {
        .type = RECORD_REMOVE,
        .id = id,
        .target = *place,
    };
    struct why why;

    if (fixture_commit(x, &r, 1, true, &why) != RESULT_OK)
        fail_msg("remove: %s", why.text);
    spool_record_dead(x->spool, place);
}

void
fixture_check_content(struct fixture *x, uint64_t id, size_t len,
    const struct spool_place *place)
{
    char *want = content_of(id, len);
    struct buf head, content;
    struct why why;

    buf_init(&head, 4096);
    buf_init(&content, len + 1);
    if (spool_read(x->spool, place, id, &head, &content, &why) != RESULT_OK)
        fail_msg("read: %s", why.text);
    assert_int_equal(content.len, len);
    if (len > 0)
        assert_memory_equal(content.ptr, want, len);
    buf_fini(&head);
    buf_fini(&content);
    mem_free(want);
}
