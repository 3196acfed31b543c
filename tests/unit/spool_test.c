#include "qmgr/spool/spool.h"

#include "lib/base/crc32c.h"
#include "lib/base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A spool in a directory of its own, and what was found in it. */
struct fixture {
    char path[64];
    int dir;
    struct spool *spool;
    struct spool_options options;
    size_t found_count;
    struct {
        enum record_type type;
        uint64_t id, blob;
        char head[64];
        struct spool_place place;
        bool parted;
    } found[4096];
    size_t damage_count;
    char damage[512];
};

static bool
note_found(void *context, const struct spool_found *f, struct why *why)
{
    struct fixture *x = context;
    size_t i = x->found_count++;

    (void)why;
    if (i >= sizeof(x->found) / sizeof(x->found[0]))
        return true;
    x->found[i].type = f->type;
    x->found[i].id = f->id;
    x->found[i].blob = f->blob;
    x->found[i].place = f->place;
    x->found[i].parted = f->parted;
    (void)snprintf(x->found[i].head, sizeof(x->found[i].head), SLICE_FMT,
        SLICE_ARG(f->head.len > 0 ? f->head : f->brief));
    return true;
}

static void
note_damage(void *context, const char *text)
{
    struct fixture *x = context;

    x->damage_count++;
    (void)snprintf(x->damage, sizeof(x->damage), "%s", text);
}

static void
start(struct fixture *x)
{
    struct why why = { 0 };

    x->found_count = x->damage_count = 0;
    x->spool = NULL;
    if (spool_open(&x->options, note_found, note_damage, x, &x->spool, &why) !=
        RESULT_OK)
        fail_msg("open: %s", why.text);
}

static int
setup(void **state)
{
    struct fixture *x = mem_alloc(sizeof(*x));

    (void)snprintf(x->path, sizeof(x->path), "/tmp/spool_test.XXXXXX");
    if (mkdtemp(x->path) == NULL)
        return -1;
    x->dir = open(x->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    x->options = (struct spool_options){
        .disk = &disk_real,
        .dir = x->dir,
        .segment_size = 128 * 1024,
    };
    start(x);
    *state = x;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *x = *state;
    char command[128];

    spool_close(x->spool);
    close(x->dir);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", x->path);
    if (system(command) != 0)
        return -1;
    mem_free(x);
    return 0;
}

static void
restart(struct fixture *x)
{
    spool_close(x->spool);
    start(x);
}

static enum result
commit(struct fixture *x, struct spool_record *records, size_t count)
{
    struct spool_txn txn = { .records = records, .record_count = count };
    struct list txns = LIST_INIT(txns);

    list_append(&txns, &txn.link);
    spool_commit(x->spool, &txns);
    return txn.result;
}

static struct spool_place
put(struct fixture *x, enum record_type type, uint64_t id, const char *head,
    const char *content)
{
    struct spool_record r = {
        .type = type,
        .id = id,
        .head = slice_of(head),
        .content = slice_of(content),
    };

    assert_int_equal(commit(x, &r, 1), RESULT_OK);
    return r.place;
}

static void
test_round_trip(void **state)
{
    struct fixture *x = *state;
    struct spool_place place;
    struct buf head, content;
    struct why why;

    assert_int_equal(x->found_count, 0);
    place = put(x, RECORD_MESSAGE, 7, "envelope", "content of it");
    (void)put(x, RECORD_STATUS, 7, "status", "");
    (void)put(x, RECORD_MESSAGE, 5, "other", "");
    buf_init(&head, 100);
    buf_init(&content, 100);
    assert_int_equal(spool_read(x->spool, &place, 7, &head, &content, &why),
        RESULT_OK);
    assert_string_equal(buf_text(&head), "envelope");
    assert_string_equal(buf_text(&content), "content of it");
    restart(x);
    assert_int_equal(x->damage_count, 0);
    assert_int_equal(x->found_count, 3);
    assert_int_equal(x->found[0].id, 5);
    assert_string_equal(x->found[1].head, "envelope");
    assert_int_equal(x->found[2].type, RECORD_STATUS);
    assert_string_equal(x->found[2].head, "status");
    buf_clear(&content);
    assert_int_equal(spool_read(x->spool, &x->found[1].place, 7, &head,
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
    struct spool_record r = { .type = RECORD_REMOVE, .id = 7 };

    r.target = put(x, RECORD_MESSAGE, 7, "envelope", "content of it");
    (void)put(x, RECORD_MESSAGE, 8, "stays", "");
    assert_int_equal(commit(x, &r, 1), RESULT_OK);
    restart(x);
    assert_int_equal(x->found_count, 1);
    assert_int_equal(x->found[0].id, 8);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_remove, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
