/*
 * The threads that qmgr has: one commits and cleans, one builds and settles,
 * others read back. For ThreadSanitizer; without it, still a test that a reader
 * never gets octets that are not the record's.
 */
#include "lib/base/mem.h"
#include "tests/unit/spool_fixture.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGES = 64, ROUNDS = 400, READERS = 2, CONTENT_MAX = 3000 };

struct shared {
    struct spool *spool;
    pthread_mutex_t lock;
    struct {
        uint64_t id; /* 0: none */
        struct spool_place place, content;
    } messages[MESSAGES];
    atomic_bool stop;
    atomic_uint reads, wrong;
    char text[200]; /* lock: what was wrong first */
};

static size_t
length_of(uint64_t id)
{
    return (size_t)(id * 977 % CONTENT_MAX);
}

static void
content_of(uint64_t id, char *to)
{
    for (size_t i = 0; i < length_of(id); i++)
        to[i] = (char)(id + i);
}

/* True when the place in the table is still the one that was read. */
static bool
unchanged(struct shared *sh, size_t i, uint64_t id,
    const struct spool_place *place)
{
    bool same;

    pthread_mutex_lock(&sh->lock);
    same = sh->messages[i].id == id &&
        (memcmp(&sh->messages[i].place, place, sizeof(*place)) == 0 ||
            memcmp(&sh->messages[i].content, place, sizeof(*place)) == 0);
    pthread_mutex_unlock(&sh->lock);
    return same;
}

static void
wrong(struct shared *sh, const char *text)
{
    pthread_mutex_lock(&sh->lock);
    if (sh->text[0] == '\0')
        (void)snprintf(sh->text, sizeof(sh->text), "%s", text);
    pthread_mutex_unlock(&sh->lock);
    atomic_fetch_add(&sh->wrong, 1);
}

static void
read_one(struct shared *sh, size_t i, char *want)
{
    struct spool_place place;
    struct buf head, content;
    enum result res;
    struct why why;
    uint64_t id;

    pthread_mutex_lock(&sh->lock);
    id = sh->messages[i].id;
    place = sh->messages[i].content.segment != 0 ? sh->messages[i].content
                                                 : sh->messages[i].place;
    pthread_mutex_unlock(&sh->lock);
    if (id == 0)
        return;
    buf_init(&head, 1000);
    buf_init(&content, CONTENT_MAX);
    res = spool_read(sh->spool, &place, id, &head, &content, &why);
    content_of(id, want);
    if (res == RESULT_OK) {
        atomic_fetch_add(&sh->reads, 1);
        if (content.len != length_of(id) ||
            (content.len > 0 && memcmp(content.ptr, want, content.len) != 0))
            wrong(sh, "octets of another record");
    } else if (unchanged(sh, i, id, &place)) {
        /* A place that moved while it was read is no error. */
        wrong(sh, why.text);
    }
    buf_fini(&head);
    buf_fini(&content);
}

static void *
reader(void *arg)
{
    struct shared *sh = arg;
    char *want = mem_alloc(CONTENT_MAX);
    size_t i = 0;

    while (!atomic_load(&sh->stop))
        read_one(sh, i++ % MESSAGES, want);
    mem_free(want);
    return NULL;
}

static void *
looker(void *arg)
{
    struct shared *sh = arg;

    while (!atomic_load(&sh->stop)) {
        struct spool_stats st;

        if (spool_has_room(sh->spool, 1000) && spool_room_take(sh->spool, 1000))
            spool_room_give(sh->spool, 1000);
        spool_stats(sh->spool, &st);
    }
    return NULL;
}

static bool
is_live(void *context, const struct spool_found *f)
{
    struct shared *sh = context;
    size_t i = f->id % MESSAGES;
    const struct spool_place *at = f->type == RECORD_CONTENT
        ? &sh->messages[i].content
        : &sh->messages[i].place;
    bool live;

    pthread_mutex_lock(&sh->lock);
    live = sh->messages[i].id == f->id && at->segment == f->place.segment &&
        at->offset == f->place.offset;
    pthread_mutex_unlock(&sh->lock);
    return live;
}

static void
moved(void *context, enum record_type type, uint64_t id,
    const struct spool_place *from, const struct spool_place *to)
{
    struct shared *sh = context;

    (void)from;
    pthread_mutex_lock(&sh->lock);
    if (type == RECORD_CONTENT)
        sh->messages[id % MESSAGES].content = *to;
    else
        sh->messages[id % MESSAGES].place = *to;
    pthread_mutex_unlock(&sh->lock);
}

/* The old message of a slot goes, a new one comes, in one transaction. */
static void
replace(struct fixture *x, struct shared *sh, uint64_t id, char *content)
{
    size_t i = id % MESSAGES;
    struct spool_place old = sh->messages[i].place,
                       old_content = sh->messages[i].content;
    struct spool_record r[2] = {
        { .type = RECORD_MESSAGE, .id = id, .head = SLICE_LIT("envelope") },
        { .type = RECORD_REMOVE,
            .id = sh->messages[i].id,
            .target = sh->messages[i].place },
    };
    struct why why;

    content_of(id, content);
    r[0].content = (struct slice){ content, length_of(id) };
    assert_int_equal(fixture_commit(x, r, r[1].id == 0 ? 1 : 2, true, &why),
        RESULT_OK);
    pthread_mutex_lock(&sh->lock);
    sh->messages[i].id = id;
    sh->messages[i].place = r[0].place;
    sh->messages[i].content = (struct spool_place){ 0 };
    pthread_mutex_unlock(&sh->lock);
    spool_record_dead(sh->spool, &old);
    spool_record_dead(sh->spool, &old_content);
}

static void
test_threads(void **state)
{
    struct fixture *x = *state;
    struct shared *sh = mem_alloc(sizeof(*sh));
    const struct spool_cleaner cleaner = { is_live, moved, sh };
    pthread_t threads[READERS + 1];
    char *content = mem_alloc(CONTENT_MAX);
    struct spool_stats st;

    sh->spool = x->spool;
    pthread_mutex_init(&sh->lock, NULL);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, sh), 0);
    assert_int_equal(pthread_create(&threads[READERS], NULL, looker, sh), 0);
    for (uint64_t id = 1; id <= ROUNDS; id++) {
        /* Some stay long, so that the cleaner has to move them. */
        if (id % MESSAGES >= 16 || id <= MESSAGES)
            replace(x, sh, id, content);
        (void)spool_clean(x->spool, &cleaner);
    }
    atomic_store(&sh->stop, true);
    for (size_t i = 0; i <= READERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    spool_stats(x->spool, &st);
    if (atomic_load(&sh->wrong) > 0)
        fail_msg("%s", sh->text);
    assert_true(atomic_load(&sh->reads) > 0);
    assert_true(st.cleaned > 3 && st.copied_octets > 0);
    pthread_mutex_destroy(&sh->lock);
    mem_free(content);
    mem_free(sh);
    fixture_restart(x);
    assert_int_equal(x->damage_count, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_threads, fixture_setup_real,
            fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
