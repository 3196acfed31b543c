/*
 * The committer's thread, the channels and the I/O pool, with a real spool in a
 * directory of its own; the core is driven by fibers as in the daemon. Run it
 * under MODE=tsan.
 */
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/io/fiber.h"
#include "lib/io/offload.h"
#include "lib/mail/submission.h"
#include "qmgr/dispatch.h"
#include "qmgr/edit.h"
#include "qmgr/intake.h"
#include "qmgr/lease.h"
#include "qmgr/links.h"
#include "qmgr/recover.h"
#include "qmgr/settle.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { MESSAGES = 3000, BODY = 1500, DEADLINE_MS = 60000 };

static struct {
    char path[64];
    int dir;
    struct qmgr q;
    struct outdoors o;
    struct outside outside;
    struct config_set *set;
    size_t orders; /* capacity of the committer's channels */
    uint64_t next_id, last_id;
    unsigned answered, deferred;
    bool defer_all;
    struct list errands;
    struct fiber_cond work;
    bool failed; /* seen on a fiber, told outside of it */
} x;

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static size_t
backlog(void *context, const struct agent *agent)
{
    (void)context;
    (void)agent;
    return 0;
}

/* Submitters are answered here instead of over links. */
static void
answer(void *context, void *request, enum message type,
    const struct queue_answer *a, int fd)
{
    (void)context;
    (void)request;
    (void)fd;
    x.failed |= a->result != RESULT_OK;
    if (type == MESSAGE_LEASED) {
        x.next_id = a->id;
        x.last_id = a->id + a->count;
    } else {
        x.answered++;
    }
}

struct errand {
    struct list link;
    struct job *job;
    struct attempt attempt;
    uint32_t index;
};

static bool
deliver(void *context, struct agent *agent, struct delivery *d, struct job *j)
{
    struct errand *e = mem_alloc(sizeof(*e));

    (void)context;
    (void)agent;
    e->job = j;
    e->attempt = d->attempt;
    e->index = d->recipients[0].index;
    x.failed |= d->body.len != BODY;
    list_append(&x.errands, &e->link);
    fiber_cond_signal(&x.work);
    return true;
}

/* Every other message is deferred as long as it is asked for. */
static void
agent_main(void *arg)
{
    (void)arg;
    for (;;) {
        struct rcpt_result result = { .outcome = OUTCOME_SENT,
            .status = "2.0.0" };
        struct delivery_answer a = { .results = &result, .count = 1 };
        struct list *it = list_take(&x.errands);
        struct errand *e;

        if (it == NULL) {
            if (fiber_cond_wait(&x.work, CLOCK_NEVER) != WAIT_OK)
                return;
            continue;
        }
        e = LIST_ENTRY(it, struct errand, link);
        a.attempt = e->attempt;
        result.index = e->index;
        if (x.defer_all && e->attempt.id % 2 == 0) {
            result.outcome = OUTCOME_DEFERRED;
            x.deferred++;
        }
        job_answered(&x.q, e->job, &a);
        mem_free(e);
    }
}

static bool
resolve(void *context, const struct route_question *q,
    struct question *question)
{
    (void)context;
    (void)q;
    (void)question;
    return false;
}

static bool
found(void *context, const struct spool_found *f, struct why *why)
{
    (void)context;
    x.o.spool = f->spool;
    return recover_found(&x.q, f, why);
}

static void
damage(void *context, const char *text)
{
    (void)context;
    (void)text;
    x.failed = true;
}

static void
open_queue(void)
{
    struct spool_options options = {
        .disk = &disk_real,
        .dir = x.dir,
        .segment_size = 256 * 1024,
    };
    struct why why;

    x.outside = links_outside;
    x.outside.answer = answer;
    x.outside.backlog = backlog;
    x.outside.deliver = deliver;
    x.outside.resolve = resolve;
    x.o = (struct outdoors){ .q = &x.q };
    fiber_cond_init(&x.o.woken);
    links_init(&x.o);
    qmgr_init(&x.q, &x.outside, &x.o, x.set);
    if (spool_open(&options, found, damage, &x, &x.o.spool, &why) !=
        RESULT_OK) {
        x.failed = true;
        return;
    }
    pool_init(&x.o.pool, &x.q, x.o.spool);
    x.failed |= committer_new(&x.q, x.o.spool, x.orders, &x.o.committer,
                    &why) != RESULT_OK;
    recover_end(&x.q);
}

static void
submit(uint64_t id)
{
    struct recipient r = { .address = SLICE_LIT("r@example.com") };
    struct envelope env = {
        .id = id,
        .arrival_us = clock_wall_us(),
        .size = BODY,
        .sender = SLICE_LIT("s@example.com"),
        .filter = SLICE_LIT("smtp:example.com"),
        .recipients = &r,
        .recipient_count = 1,
    };
    static char octets[BODY];
    struct buf body, envelope;
    struct msg_in *in;

    buf_init(&envelope, 4096);
    buf_init(&body, 65536);
    envelope_encode(&env, &envelope);
    tlv_put(&body, ATTR_ENVELOPE, buf_slice(&envelope));
    tlv_put(&body, ATTR_HEADER, SLICE_LIT("Subject: x\r\n"));
    tlv_put(&body, ATTR_BODY, (struct slice){ octets, sizeof(octets) });
    in = mem_alloc(sizeof(*in) + body.len);
    memcpy(in + 1, body.ptr, body.len);
    in->body = (struct slice){ (const char *)(in + 1), body.len };
    buf_fini(&envelope);
    buf_fini(&body);
    intake_submit(&x.q, &x, &x, 1, in);
}

static void
wait_until(bool (*done)(void))
{
    int64_t deadline = clock_now_ms() + DEADLINE_MS;

    while (!done()) {
        if (clock_now_ms() > deadline || x.failed) {
            x.failed = true;
            return;
        }
        (void)fiber_sleep_until(clock_now_ms() + 1);
    }
}

static bool
leased(void)
{
    return x.last_id > x.next_id;
}

static bool
half_left(void)
{
    return x.q.index.states[ENTRY_DEFERRED] == x.q.index.entries.count &&
        x.answered == MESSAGES && qmgr_is_idle(&x.q);
}

static bool
is_empty(void)
{
    return x.q.index.entries.count == 0 && qmgr_is_idle(&x.q);
}

static void
shut(struct fiber *pump)
{
    x.failed |= !qmgr_is_idle(&x.q);
    fiber_cancel(pump);
    committer_free(x.o.committer);
    spool_close(x.o.spool);
    list_foreach_safe (it, &x.q.agents)
        agent_gone(&x.q, LIST_ENTRY(it, struct agent, link));
    x.o.spool = NULL;
    fiber_timer_disarm(&x.o.timer);
}

static void
story(void *arg)
{
    struct fiber *pump, *agent;
    unsigned left;

    (void)arg;
    list_init(&x.errands);
    fiber_cond_init(&x.work);
    agent = fiber_spawn("agent", agent_main, NULL);
    open_queue();
    pump = fiber_spawn("pump", links_pump_main, &x.o);
    agent_up(&x.q, ROLE_SMTP, &x);
    x.defer_all = true;
    for (unsigned i = 0; i < MESSAGES && !x.failed; i++) {
        if (!leased()) {
            lease_ask(&x.q, &x, 64);
            wait_until(leased);
        }
        submit(x.next_id++);
        if (i % 16 == 0)
            fiber_yield();
    }
    wait_until(half_left);
    left = (unsigned)x.q.index.entries.count;
    x.failed |= left != x.deferred || left == 0;
    shut(pump);
    qmgr_fini(&x.q);

    /* All of it is there again, and goes. */
    open_queue();
    x.failed |= x.q.index.entries.count != left;
    pump = fiber_spawn("pump", links_pump_main, &x.o);
    agent_up(&x.q, ROLE_SMTP, &x);
    x.defer_all = false;
    edit_flush_all(&x.q, NULL);
    wait_until(is_empty);
    shut(pump);
    qmgr_fini(&x.q);
    fiber_cancel(agent);
    fiber_yield();
    sched_stop();
}

static void
no_log(void *context, enum log_level level, const char *tag, struct slice line)
{
    (void)context;
    (void)level;
    (void)tag;
    (void)line;
}

/* Nothing waits for a place for ever, however few there are. */
static void
run_with(size_t orders)
{
    struct why why;

    memset(&x, 0, sizeof(x));
    x.orders = orders;
    log_set_sink(no_log, NULL, NULL);
    (void)snprintf(x.path, sizeof(x.path), "/tmp/committer-test-XXXXXX");
    assert_non_null(mkdtemp(x.path));
    x.dir = open(x.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(x.dir >= 0);
    assert_int_equal(config_from_text("minimal_backoff_time = 1h\n",
                         "smtp unix - - n - - smtp\n", &x.set, &why),
        RESULT_OK);
    sched_open();
    assert_non_null(fiber_spawn("story", story, NULL));
    sched_run();
    sched_close();
    offload_close();
    config_drop(x.set);
    close(x.dir);
    assert_int_equal(nftw(x.path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    assert_false(x.failed);
    assert_int_equal(x.answered, MESSAGES);
}

static void
test_threads(void **state)
{
    (void)state;
    run_with(COMMITTER_ORDERS);
}

static void
test_one_place(void **state)
{
    (void)state;
    run_with(1);
    run_with(2);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_one_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
