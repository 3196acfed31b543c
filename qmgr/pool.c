#include "qmgr/pool.h"

#include "lib/io/fiber.h"
#include "lib/io/offload.h"

enum { FIBERS_MAX = 32 };

void
pool_init(struct pool *p, struct qmgr *q, struct spool *s)
{
    *p = (struct pool){ .q = q, .spool = s };
    list_init(&p->waiting);
}

struct work {
    struct spool *spool;
    struct disk_job *job;
};

static void
do_work(void *arg)
{
    struct work *w = arg;

    disk_job_work(w->spool, w->job);
}

static void
pool_main(void *arg)
{
    struct pool *p = arg;
    struct list *it;

    fiber_shield();
    while ((it = list_take(&p->waiting)) != NULL) {
        struct work w = { p->spool, LIST_ENTRY(it, struct disk_job, link) };

        offload(do_work, &w);
        disk_job_done(p->q, w.job);
    }
    p->running--;
}

void
pool_add(struct pool *p, struct disk_job *j)
{
    list_append(&p->waiting, &j->link);
    if (p->running >= FIBERS_MAX)
        return;
    /* Without memory for a fiber it waits for one that is at work. */
    if (fiber_spawn("qmgr disk", pool_main, p) != NULL)
        p->running++;
}
