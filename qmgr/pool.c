#include "qmgr/pool.h"

#include "lib/io/fiber.h"
#include "lib/io/offload.h"

enum {
    FIBERS_MAX = 32,
    READS_MAX = 32, /* in one go */
    SHARE = 4,      /* of what waits, that one thread takes */
};

void
pool_init(struct pool *p, struct qmgr *q, struct spool *s)
{
    *p = (struct pool){ .q = q, .spool = s };
    list_init(&p->waiting);
}

/* Jobs for one thread: several reads, or one of the others. */
struct work {
    struct spool *spool;
    struct disk_job *jobs[READS_MAX];
    size_t count;
};

static void
do_work(void *arg)
{
    struct work *w = arg;

    for (size_t i = 0; i < w->count; i++)
        disk_job_work(w->spool, w->jobs[i]);
}

static bool
is_read(const struct disk_job *j)
{
    return j->task == DISK_READ || j->task == DISK_READ_HEAD;
}

/*
 * A read from the page cache takes 5 us, handing it to a thread and back
 * several times that. So when many wait they go together, but never so many
 * that threads are idle meanwhile: the disk may have to be asked after all.
 */
static void
take_work(struct pool *p, struct work *w)
{
    size_t most = 1 + p->waiting_count / SHARE;

    if (most > READS_MAX)
        most = READS_MAX;
    for (w->count = 0; w->count < most && !list_empty(&p->waiting);) {
        struct disk_job *j = LIST_ENTRY(p->waiting.next, struct disk_job, link);

        if (w->count > 0 && !is_read(j))
            return;
        list_remove(&j->link);
        p->waiting_count--;
        w->jobs[w->count++] = j;
        if (!is_read(j))
            return;
    }
}

static void
pool_main(void *arg)
{
    struct pool *p = arg;
    struct work w = { .spool = p->spool };

    fiber_shield();
    for (take_work(p, &w); w.count > 0; take_work(p, &w)) {
        offload(do_work, &w);
        for (size_t i = 0; i < w.count; i++)
            disk_job_done(p->q, w.jobs[i]);
    }
    p->running--;
}

void
pool_add(struct pool *p, struct disk_job *j)
{
    list_append(&p->waiting, &j->link);
    p->waiting_count++;
    if (p->running >= FIBERS_MAX)
        return;
    /* Without memory for a fiber it waits for one that is at work. */
    if (fiber_spawn("qmgr disk", pool_main, p) != NULL)
        p->running++;
}
