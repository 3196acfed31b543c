#include "qmgr/manager.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/thread.h"
#include "lib/io/fiber.h"
#include "qmgr/links.h"
#include "qmgr/recover.h"
#include "qmgr/spool/disk_record.h"

#include <fcntl.h>
#include <unistd.h>

enum {
    LOCK_WAIT_MS = 10 * 1000,
    DRAIN_LOOK_MS = 5,
};

struct manager {
    struct qmgr core;
    struct outdoors outdoors;
    int dir;
    struct fiber *pump;
};

/* Records that recovery finds dead are told to the spool while it opens. */
static bool
found(void *context, const struct spool_found *f, struct why *why)
{
    struct manager *m = context;

    m->outdoors.spool = f->spool;
    return recover_found(&m->core, f, why);
}

static void
damage(void *context, const char *text)
{
    recover_damage(&((struct manager *)context)->core, text);
}

static struct disk *
disk_at_hand(void)
{
#ifdef POSTERN_TEST_HOOKS
    return disk_recorded();
#else
    return &disk_real;
#endif
}

static enum result
open_spool(struct manager *m, const struct config *config, struct why *why)
{
    char *path = mem_format("%s/spool", config->queue_directory);
    struct spool_options options = {
        .disk = disk_at_hand(),
        .segment_size = (uint64_t)config->queue_segment_size,
        .min_free = (uint64_t)config->queue_minfree,
        .lock_wait_ms = LOCK_WAIT_MS,
        .threads = thread_cores(),
    };
    enum result res;

    m->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->dir < 0) {
        res = why_errno(why, "open %s", path);
    } else {
        options.dir = m->dir;
        res = spool_open(&options, found, damage, m, &m->outdoors.spool, why);
    }
    mem_free(path);
    return res;
}

enum result
manager_open(struct config_set *set, struct manager **manager, struct why *why)
{
    struct manager *m = mem_alloc(sizeof(*m));
    struct outdoors *o = &m->outdoors;
    enum result res;

    m->dir = -1;
    o->q = &m->core;
    fiber_cond_init(&o->woken);
    links_init(o);
    qmgr_init(&m->core, &links_outside, o, set);
    res = open_spool(m, m->core.config, why);
    if (res == RESULT_OK) {
        pool_init(&o->pool, &m->core, o->spool);
        recover_sweep(&m->core, o->spool);
        res = committer_new(&m->core, o->spool, COMMITTER_ORDERS, &o->committer,
            why);
        if (res != RESULT_OK)
            spool_close(o->spool);
    }
    if (res != RESULT_OK) {
        qmgr_fini(&m->core);
        if (m->dir >= 0)
            close(m->dir);
        mem_free(m);
        return res;
    }
    *manager = m;
    return RESULT_OK;
}

enum result
manager_start(struct manager *m, struct why *why)
{
    late_begin(&m->core);
    recover_end(&m->core);
    m->pump = fiber_spawn("qmgr pump", links_pump_main, &m->outdoors);
    if (m->pump == NULL)
        return why_temp(why, "4.3.0", "no memory for a fiber");
    return RESULT_OK;
}

void
manager_configure(struct manager *m, struct config_set *set)
{
    qmgr_configure(&m->core, set);
    if (m->outdoors.committer != NULL)
        committer_hurry(m->outdoors.committer);
}

void
manager_drain(struct manager *m, int64_t deadline_ms)
{
    qmgr_stop(&m->core);
    while (!qmgr_is_idle(&m->core) && clock_now_ms() < deadline_ms)
        (void)fiber_sleep_until(clock_now_ms() + DRAIN_LOOK_MS);
}

void
manager_close(struct manager *m)
{
    if (m == NULL)
        return;
    if (!qmgr_is_idle(&m->core)) {
        log_warning("deliveries are still under way: "
                    "their recipients may get them twice");
        return;
    }
    if (m->pump != NULL)
        fiber_cancel(m->pump);
    committer_free(m->outdoors.committer);
    spool_close(m->outdoors.spool);
    m->outdoors.committer = NULL;
    close(m->dir);
    /* The rest is memory, which ends with the process. */
}

struct qmgr *
manager_core(struct manager *m)
{
    return &m->core;
}
