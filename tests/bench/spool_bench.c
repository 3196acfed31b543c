/*
 * spool_bench - what the spool alone takes: messages of one size, so many of
 * them outstanding at a time, each removed later with a record of its own.
 *
 * spool_bench [DIRECTORY [SECONDS [OCTETS [BACKLOG]]]]
 *
 * For each row: messages a second, CPU of this process for a message (user and
 * system), flushes, octets written for an octet of mail. The first row warms up:
 * segments are written once before they are recycled. With BACKLOG, instead:
 * so many messages are put there, and starts with them are timed.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/num.h"
#include "qmgr/spool/spool.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OUTSTANDING_MAX = 1000, QUEUED = 2000, SEGMENT = 64 * 1024 * 1024 };

struct bench {
    struct spool *spool;
    struct spool_place queued[QUEUED]; /* by id modulo its size */
    struct spool_txn txns[OUTSTANDING_MAX];
    struct spool_record records[OUTSTANDING_MAX][2];
    char *content;
    size_t octets;
    uint64_t next_id;
};

static bool
found(void *context, const struct spool_found *f, struct why *why)
{
    (void)context;
    (void)why;
    spool_record_dead(f->spool, &f->place);
    return true;
}

static void
damage(void *context, const char *text)
{
    (void)context;
    (void)fprintf(stderr, "%s\n", text);
}

static bool
is_live(void *context, const struct spool_found *f)
{
    const struct bench *b = context;
    const struct spool_place *at = &b->queued[f->id % QUEUED];

    return at->segment == f->place.segment && at->offset == f->place.offset;
}

static void
moved(void *context, enum record_type type, uint64_t id,
    const struct spool_place *from, const struct spool_place *to)
{
    struct bench *b = context;

    (void)from;
    if (type == RECORD_MESSAGE)
        b->queued[id % QUEUED] = *to;
    else
        spool_record_dead(b->spool, to);
}

static int64_t
cpu_us(void)
{
    struct rusage ru;

    (void)getrusage(RUSAGE_SELF, &ru);
    return (int64_t)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000 +
        ru.ru_utime.tv_usec + ru.ru_stime.tv_usec;
}

/* One message comes, the one that came QUEUED messages before goes. */
static void
build(struct bench *b, size_t i)
{
    uint64_t id = b->next_id++, old = id - QUEUED;
    struct spool_record *r = b->records[i];

    r[0] = (struct spool_record){
        .type = RECORD_MESSAGE,
        .id = id,
        .brief = SLICE_LIT("a brief of about thirty octets"),
        .head = { b->content, 300 },
        .content = { b->content, b->octets },
    };
    r[1] = (struct spool_record){
        .type = RECORD_REMOVE,
        .id = old,
        .target = b->queued[old % QUEUED],
    };
    b->txns[i] = (struct spool_txn){
        .records = r,
        .record_count = b->queued[old % QUEUED].segment != 0 ? 2 : 1,
    };
}

static void
take(struct bench *b, size_t i)
{
    const struct spool_txn *t = &b->txns[i];
    const struct spool_record *r = b->records[i];

    if (t->result != RESULT_OK) {
        (void)fprintf(stderr, "%s\n", t->why.text);
        exit(EXIT_FAILURE);
    }
    if (t->record_count == 2)
        spool_record_dead(b->spool, &r[1].target);
    b->queued[r[0].id % QUEUED] = r[0].place;
}

static uint64_t
run(struct bench *b, size_t outstanding, int64_t until_ms)
{
    const struct spool_cleaner cleaner = { is_live, moved, b };
    uint64_t messages = 0;

    while (clock_now_ms() < until_ms) {
        struct list list = LIST_INIT(list);

        for (size_t i = 0; i < outstanding; i++) {
            build(b, i);
            list_append(&list, &b->txns[i].link);
        }
        spool_commit(b->spool, &list);
        for (size_t i = 0; i < outstanding; i++)
            take(b, i);
        messages += outstanding;
        while (spool_clean(b->spool, &cleaner))
            continue;
    }
    return messages;
}

static void
row(struct bench *b, size_t outstanding, int64_t seconds)
{
    struct spool_stats before, after;
    int64_t start = clock_now_ms(), cpu = cpu_us(), ms;
    uint64_t n;

    spool_stats(b->spool, &before);
    n = run(b, outstanding, start + seconds * 1000);
    ms = clock_now_ms() - start;
    cpu = cpu_us() - cpu;
    spool_stats(b->spool, &after);
    (void)printf("%5zu outstanding: %8" PRIu64 " messages/s  %6.1f us CPU each"
                 "  %7" PRIu64 " flushes  copied %.3f  segments %" PRIu64 "\n",
        outstanding, n * 1000 / (uint64_t)(ms + 1), (double)cpu / (double)n,
        after.flushes - before.flushes,
        (double)(after.copied_octets - before.copied_octets) /
            (double)(n * b->octets),
        after.segments);
    (void)fflush(stdout);
}

/* A message in the queue and deferred once, as the index needs them. */
static void
fill(struct bench *b, uint64_t backlog)
{
    for (uint64_t id = 1; id <= backlog;) {
        struct list list = LIST_INIT(list);
        size_t n = 0;

        for (; n < OUTSTANDING_MAX / 2 && id <= backlog; n++, id++) {
            struct spool_record *r = b->records[n];

            r[0] = (struct spool_record){
                .type = RECORD_MESSAGE,
                .id = id,
                .brief = SLICE_LIT("a brief of about thirty octets"),
                .head = { b->content, 300 },
                .content = { b->content, b->octets },
            };
            r[1] = (struct spool_record){
                .type = RECORD_STATUS,
                .id = id,
                .brief = SLICE_LIT("a brief of about thirty octets"),
                .head = { b->content, 200 },
            };
            b->txns[n] = (struct spool_txn){
                .records = r,
                .record_count = 2,
            };
            list_append(&list, &b->txns[n].link);
        }
        spool_commit(b->spool, &list);
        if (b->txns[0].result != RESULT_OK) {
            (void)fprintf(stderr, "%s\n", b->txns[0].why.text);
            exit(EXIT_FAILURE);
        }
    }
}

static bool
count(void *context, const struct spool_found *f, struct why *why)
{
    uint64_t *n = context;

    (void)f;
    (void)why;
    ++*n;
    return true;
}

static void
time_start(struct bench *b, const struct spool_options *options)
{
    int64_t start = clock_now_ms();
    uint64_t n = 0;
    struct why why;

    if (spool_open(options, count, damage, &n, &b->spool, &why) != RESULT_OK) {
        (void)fprintf(stderr, "%s\n", why.text);
        exit(EXIT_FAILURE);
    }
    (void)printf("start: %" PRIu64 " records in %" PRId64 " ms\n", n,
        clock_now_ms() - start);
    spool_close(b->spool);
    b->spool = NULL;
}

static uint32_t
number(const char *text, uint32_t otherwise)
{
    uint32_t n = otherwise;

    if (text != NULL && !num_parse_u32(slice_of(text), 1 << 24, &n))
        exit(EXIT_FAILURE);
    return n;
}

int
main(int argc, char **argv)
{
    static const size_t rows[] = { 100, 1, 16, 100, 1000 };
    char path[] = "/tmp/spool_bench.XXXXXX";
    const char *dir = argc > 1 ? argv[1] : mkdtemp(path);
    int64_t seconds = number(argc > 2 ? argv[2] : NULL, 3);
    struct bench *b = mem_alloc(sizeof(*b));
    struct spool_options options = {
        .disk = &disk_real,
        .segment_size = SEGMENT,
    };
    uint64_t backlog;
    struct why why;

    b->octets = number(argc > 3 ? argv[3] : NULL, 10 * 1024);
    b->content = mem_alloc(b->octets + 300);
    b->next_id = QUEUED + 1;
    options.dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (spool_open(&options, found, damage, NULL, &b->spool, &why) !=
        RESULT_OK) {
        (void)fprintf(stderr, "%s\n", why.text);
        return EXIT_FAILURE;
    }
    backlog = number(argc > 4 ? argv[4] : NULL, 0);
    if (backlog > 0) {
        fill(b, backlog);
        spool_close(b->spool);
        b->spool = NULL;
        for (unsigned i = 0; i < 3; i++)
            time_start(b, &options);
    }
    for (size_t i = 0; backlog == 0 && i < sizeof(rows) / sizeof(rows[0]); i++)
        row(b, rows[i], seconds);
    spool_close(b->spool);
    mem_free(b->content);
    mem_free(b);
    if (argc <= 1) {
        char command[64];

        (void)snprintf(command, sizeof(command), "rm -rf %s", path);
        /* NOLINTNEXTLINE(cert-env33-c): a name that we made */
        if (system(command) != 0)
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}
