#include "lookup/memo_keeper.h"

#include "lib/base/arena.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/seldom.h"
#include "lib/daemon/daemon.h"
#include "lib/io/fiber.h"
#include "lib/io/offload.h"
#include "lib/table/memo.h"
#include "lookup/book.h"
#include "lookup/memo_file.h"
#include "lookup/refusal.h"

enum {
    RECORDS_MAX = 250 * 1000, /* of a book; about 200 octets each */
    WRITE_EVERY_MS = 1000,
    BATCH_MAX = 2000, /* records in one transaction */
    COMPLAIN_EVERY_MS = 60 * 1000,
    OPENING_MS = 2000, /* how long a question waits for the books */
};

/* Copies of what is to be written: the thread that writes shares nothing. */
struct batch {
    struct memo_file *file;
    struct arena arena;
    struct batch_item {
        unsigned book;
        struct slice key, value;
        int64_t end_s;
    } items[BATCH_MAX];
    size_t count;
    enum result result;
    struct why why;
};

/* The process's books. */
static struct {
    bool configured;
    struct book books[MEMO_BOOKS];
    int64_t clean_every_ms[MEMO_BOOKS];
    int64_t clean_at_ms[MEMO_BOOKS];
    char *directory, *paths[MEMO_BOOKS];
    char *maps[MEMO_BOOKS]; /* the parameters that name them, for the log */
    struct memo_file *file;
    struct fiber *writer; /* NULL: has ended */
    bool opening;         /* the books are being read */
    struct fiber_cond opened, work, ended;
    bool closing;
    struct seldom complaints;
} keeper;

/* Reading the configuration. */

/*
 * "btree:/path" -> "/path". NULL: in memory alone, also for types of which
 * nobody else needs to read the file.
 */
static char *
path_of(const char *parameter, const char *map)
{
    struct slice spec = slice_trim(slice_of(map)), type, path;

    if (slice_starts_nocase(spec, SLICE_LIT("proxy:")))
        spec = slice_skip(spec, sizeof("proxy:") - 1);
    type = slice_head(spec, slice_find(spec, ':'));
    path = slice_skip(spec, type.len + 1);
    if (path.len == 0)
        return NULL;
    if (!slice_eq_text(type, "btree") && !slice_eq_text(type, "hash") &&
        !slice_eq_text(type, "lmdb")) {
        log_warning("%s = %s: kept in memory only: a cache is a file of type "
                    "btree or hash",
            parameter, map);
        return NULL;
    }
    return mem_format(SLICE_FMT ".memo", SLICE_ARG(path));
}

static void
set_path(enum memo_book book, const char *parameter, const char *map)
{
    keeper.paths[book] = path_of(parameter, map);
    keeper.maps[book] = mem_text(map);
}

static void
set_paths(const struct config_set *set)
{
    const struct config *c = config_main(set);

    keeper.directory = mem_format("%s/memo", c->data_directory);
    set_path(MEMO_SCREEN, "postscreen_cache_map", c->postscreen_cache_map);
    set_path(MEMO_GREYLIST, "smtpd_greylist_map", c->smtpd_greylist_map);
    set_path(MEMO_VERIFY, "address_verify_map",
        config_of_service(set, "verify")->address_verify_map);
}

static void
set_intervals(const struct config_set *set)
{
    const struct config *c = config_main(set);

    keeper.clean_every_ms[MEMO_SCREEN] = c->postscreen_cache_cleanup_interval;
    keeper.clean_every_ms[MEMO_GREYLIST] = c->postscreen_cache_cleanup_interval;
    keeper.clean_every_ms[MEMO_VERIFY] =
        config_of_service(set, "verify")->address_verify_cache_cleanup_interval;
}

/*
 * Opening: behind the start, on another thread, into books of its own. What is
 * kept meanwhile is newer.
 */

struct opening {
    struct book books[MEMO_BOOKS];
    struct memo_file *file;
};

static void
load(void *context, unsigned book, struct slice key, struct slice value,
    int64_t end_s)
{
    struct opening *o = context;

    book_load(&o->books[book], key, value, end_s);
}

static void
open_file(void *arg)
{
    const char *paths[MEMO_BOOKS];
    struct opening *o = arg;
    struct why why;
    bool any = false;

    for (unsigned i = 0; i < MEMO_BOOKS; i++) {
        paths[i] = keeper.paths[i];
        any = any || paths[i] != NULL;
    }
    if (any &&
        memo_file_open(keeper.directory, paths, MEMO_BOOKS, load, o, &o->file,
            &why) != RESULT_OK) {
        o->file = NULL;
        log_warning("caches are kept in memory only: %s", why.text);
    }
}

enum { LOAD_A_TURN = 1000 };

static void
take_over(struct book *to, struct book *loaded)
{
    struct map_node *next;
    size_t n = 0;

    for (struct map_node *it = map_first(&loaded->records); it != NULL;
         it = next) {
        struct record *r = LIST_ENTRY(it, struct record, node);

        next = map_after(&loaded->records, it);
        book_load(to, record_key(r), record_value(r), r->end_s);
        book_drop(loaded, r);
        if (++n % LOAD_A_TURN == 0)
            fiber_yield();
    }
    book_fini(loaded);
}

static void
open_books(void)
{
    struct opening *o = mem_alloc(sizeof(*o));

    for (unsigned i = 0; i < MEMO_BOOKS; i++)
        book_init(&o->books[i], RECORDS_MAX, false);
    offload(open_file, o);
    keeper.file = o->file;
    for (unsigned i = 0; i < MEMO_BOOKS; i++) {
        take_over(&keeper.books[i], &o->books[i]);
        if (keeper.file == NULL)
            book_lose_file(&keeper.books[i]);
    }
    mem_free(o);
    keeper.opening = false;
    fiber_cond_broadcast(&keeper.opened);
}

/* Writing */

static void
gather(struct batch *b)
{
    for (unsigned i = 0; i < MEMO_BOOKS; i++) {
        struct record *r;

        while (b->count < BATCH_MAX &&
            (r = book_next_dirty(&keeper.books[i])) != NULL) {
            struct batch_item *item = &b->items[b->count];

            item->book = i;
            item->end_s = r->end_s;
            if (arena_slice(&b->arena, record_key(r), &item->key) &&
                arena_slice(&b->arena, record_value(r), &item->value))
                b->count++;
            if (r->end_s == 0)
                book_drop(&keeper.books[i], r);
        }
    }
}

static void
write_batch(void *arg)
{
    struct batch *b = arg;

    b->result = memo_file_begin(b->file, &b->why);
    if (b->result != RESULT_OK)
        return;
    for (size_t i = 0; i < b->count; i++)
        memo_file_write(b->file, b->items[i].book, b->items[i].key,
            b->items[i].value, b->items[i].end_s);
    b->result = memo_file_end(b->file, &b->why);
}

static void
complain(const struct why *why)
{
    if (seldom_due(&keeper.complaints, COMPLAIN_EVERY_MS))
        log_warning("%s: %s", keeper.directory, why->text);
}

static void
write_some(void)
{
    struct batch *b = mem_alloc(sizeof(*b));

    b->file = keeper.file;
    arena_init(&b->arena,
        (size_t)BATCH_MAX * (MEMO_KEY_MAX + MEMO_VALUE_MAX + 64));
    gather(b);
    offload(write_batch, b);
    if (b->result != RESULT_OK)
        complain(&b->why);
    arena_clear(&b->arena);
    mem_free(b);
}

static bool
any_dirty(void)
{
    for (unsigned i = 0; i < MEMO_BOOKS; i++)
        if (!list_empty(&keeper.books[i].dirty))
            return true;
    return false;
}

/* As the programs of Postfix that have such a cache. */
static void
log_cleanup(unsigned book, size_t retained, size_t dropped)
{
    static const char *const programs[] = {
        [MEMO_SCREEN] = "postscreen",
        [MEMO_GREYLIST] = "smtpd",
        [MEMO_VERIFY] = "verify",
    };

    if (retained + dropped > 0)
        log_write(LOG_LEVEL_INFO,
            config_tag_of_service(daemon_config(), programs[book],
                programs[book]),
            "cache %s full cleanup: retained=%zu dropped=%zu entries",
            keeper.maps[book], retained, dropped);
}

static void
clean(void)
{
    int64_t now = clock_now_ms();
    size_t dropped, retained;

    for (unsigned i = 0; i < MEMO_BOOKS; i++) {
        if (keeper.clean_every_ms[i] <= 0 || now < keeper.clean_at_ms[i])
            continue;
        keeper.clean_at_ms[i] = now + keeper.clean_every_ms[i];
        dropped = book_clean(&keeper.books[i], clock_wall_s(), &retained);
        log_cleanup(i, retained, dropped);
    }
}

static int64_t
next_clean_ms(void)
{
    int64_t next = CLOCK_NEVER;

    for (unsigned i = 0; i < MEMO_BOOKS; i++)
        if (keeper.clean_every_ms[i] > 0 && keeper.clean_at_ms[i] < next)
            next = keeper.clean_at_ms[i];
    return next;
}

/* What comes within a second goes into one transaction. */
static void
wait_for_work(void)
{
    if (!any_dirty())
        (void)fiber_cond_wait(&keeper.work, next_clean_ms());
    (void)fiber_sleep_until(clock_now_ms() + WRITE_EVERY_MS);
}

static void
writer_main(void *arg)
{
    (void)arg;
    open_books();
    do {
        wait_for_work();
        clean();
        while (keeper.file != NULL && any_dirty())
            write_some();
    } while (!keeper.closing);
    keeper.writer = NULL;
    fiber_cond_broadcast(&keeper.ended);
}

static void
forget_paths(void)
{
    for (unsigned i = 0; i < MEMO_BOOKS; i++) {
        mem_free(keeper.paths[i]);
        keeper.paths[i] = NULL;
    }
}

void
memo_keeper_configure(const struct config_set *set, enum memo_place place)
{
    set_intervals(set);
    if (keeper.configured)
        return;
    keeper.configured = true;
    set_paths(set);
    if (place == MEMO_IN_MEMORY)
        forget_paths();
    for (unsigned i = 0; i < MEMO_BOOKS; i++)
        book_init(&keeper.books[i], RECORDS_MAX, keeper.paths[i] != NULL);
    fiber_cond_init(&keeper.opened);
    fiber_cond_init(&keeper.work);
    fiber_cond_init(&keeper.ended);
    keeper.opening = true;
    keeper.writer = fiber_spawn("memo writer", writer_main, NULL);
    if (keeper.writer == NULL)
        keeper.opening = false;
}

static void
close_file(void *arg)
{
    memo_file_close(arg);
}

void
memo_keeper_close(int64_t deadline_ms)
{
    if (!keeper.configured)
        return;
    keeper.closing = true;
    if (keeper.writer != NULL) {
        fiber_cancel(keeper.writer);
        (void)fiber_cond_wait(&keeper.ended, deadline_ms);
    }
    if (keeper.writer != NULL)
        return; /* the disk hangs: the next one recovers */
    offload(close_file, keeper.file);
    keeper.file = NULL;
    for (unsigned i = 0; i < MEMO_BOOKS; i++) {
        book_fini(&keeper.books[i]);
        mem_free(keeper.paths[i]);
        mem_free(keeper.maps[i]);
    }
    mem_free(keeper.directory);
    keeper.configured = false;
}

/* Serving */

static bool
decode(struct request *r, struct memo *memo)
{
    struct why why;

    /* What probes found is for lookup/verifier to say. */
    if (memo_decode(r->in->body, memo, &why) == RESULT_OK &&
        keeper.configured && memo->book != MEMO_VERIFY)
        return true;
    if (refusal_due(r->link))
        log_warning("%s: memo refused", link_peer_name(r->link));
    request_drop(r);
    return false;
}

struct book *
memo_keeper_book(enum memo_book book)
{
    if (keeper.opening) /* who passed yesterday need not pass again */
        (void)fiber_cond_wait(&keeper.opened, clock_now_ms() + OPENING_MS);
    return keeper.configured ? &keeper.books[book] : NULL;
}

void
memo_keeper_write(void)
{
    fiber_cond_signal(&keeper.work);
}

void
memo_keeper_ask(struct request *r)
{
    struct memo_answer a = { .status = MEMO_NOT_FOUND };
    struct memo memo;
    struct book *b;
    struct msg m;

    if (!decode(r, &memo))
        return;
    b = memo_keeper_book(memo.book);
    if (b != NULL && book_find(b, memo.key, clock_wall_s(), &a.value))
        a.status = MEMO_FOUND;
    memo_answer_encode(&a, &m);
    request_reply(r, &m);
}

void
memo_keeper_keep(struct request *r)
{
    struct memo memo;

    if (!decode(r, &memo))
        return;
    book_keep(&keeper.books[memo.book], memo.key, memo.value, memo.end_s,
        clock_wall_s());
    memo_keeper_write();
    request_drop(r);
}
