#include "lib/mail/late_report.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/mail/late.h"

enum {
    KEPT_MAX = 64 * 1024 * 1024,
    WRITE_MS = 1000, /* a queue manager's write that was due takes no longer */
};

/*
 * A message that waits for a queue manager; or an answer that was given, until
 * what the queue manager makes of it must be on disk.
 */
struct kept {
    struct list node;
    int64_t until_ms;
    struct msg msg;
};

/* This process's deliveries. */
static struct {
    struct list jobs;  /* struct late_job */
    struct list kept;  /* struct kept */
    struct list given; /* struct kept: the same, answered; in order of time */
    size_t kept_octets;
    struct peer *qmgr; /* the newest */
    bool told;         /* that there is nothing more */
} late = {
    .jobs = LIST_INIT(late.jobs),
    .kept = LIST_INIT(late.kept),
    .given = LIST_INIT(late.given),
};

static void
forget(struct kept *k)
{
    list_remove(&k->node);
    late.kept_octets -= k->msg.body.len;
    msg_fini(&k->msg);
    mem_free(k);
}

/* Those that are on disk by now. */
static void
forget_written(void)
{
    int64_t now = clock_now_ms();

    list_foreach_safe (it, &late.given) {
        struct kept *k = LIST_ENTRY(it, struct kept, node);

        if (k->until_ms > now)
            break;
        forget(k);
    }
}

static size_t
count_orphans(void)
{
    size_t n = 0;

    list_foreach (it, &late.jobs)
        n += late_job_is_orphan(LIST_ENTRY(it, struct late_job, node));
    return n;
}

static void
send_kept(void)
{
    struct list *it;

    while ((it = list_take(&late.kept)) != NULL) {
        struct kept *k = LIST_ENTRY(it, struct kept, node);

        late.kept_octets -= k->msg.body.len;
        link_send(late.qmgr->link, &k->msg);
        mem_free(k);
    }
}

/* More than one: the dead one's link has not been found broken yet. */
static bool
is_only_one(void)
{
    const struct list *all = daemon_peers(ROLE_QMGR);

    return all->next->next == all;
}

static void
report(void)
{
    struct msg m;

    if (late.qmgr == NULL || late.told)
        return;
    send_kept();
    if (!is_only_one() || count_orphans() > 0)
        return;
    msg_init(&m, MESSAGE_LATE_DONE);
    link_send(late.qmgr->link, &m);
    late.told = true;
}

static struct kept *
keep(struct list *where, const struct delivery *d,
    const struct delivery_answer *a)
{
    struct late l = {
        .attempt = d->attempt,
        .proof = d->proof,
        .index_count = d->recipient_count,
        .results = a->results,
        .count = a->count,
    };
    uint32_t *indexes = mem_alloc_array(d->recipient_count, sizeof(*indexes));
    struct kept *k = mem_alloc(sizeof(*k));

    for (size_t i = 0; i < d->recipient_count; i++)
        indexes[i] = d->recipients[i].index;
    l.indexes = indexes;
    late_encode(&l, &k->msg);
    mem_free(indexes);
    if (buf_failed(&k->msg.body) ||
        late.kept_octets + k->msg.body.len > KEPT_MAX) {
        log_warning("no room for results that the queue manager did not live "
                    "to see: delivered mail may be delivered again");
        msg_fini(&k->msg);
        mem_free(k);
        return NULL;
    }
    late.kept_octets += k->msg.body.len;
    list_append(where, &k->node);
    return k;
}

void
late_job_begin(struct late_job *j, struct request *r)
{
    j->request = r;
    list_append(&late.jobs, &j->node);
}

void
late_job_end(struct late_job *j, const struct config_set *set,
    const struct delivery *d, const struct delivery_answer *a)
{
    bool orphan = late_job_is_orphan(j);
    struct kept *k = NULL;
    struct msg m;

    list_remove(&j->node);
    forget_written();
    if (a->count > 0)
        k = keep(orphan ? &late.kept : &late.given, d, a);
    if (k != NULL)
        k->until_ms = clock_now_ms() + WRITE_MS +
            config_main(set)->queue_settle_delay;
    if (orphan) {
        request_drop(j->request);
        report();
    } else {
        delivery_answer_encode(a, &m);
        request_reply(j->request, &m);
    }
}

/* One that was there before us was never told of anything by another. */
void
late_report_peer_up(struct peer *p)
{
    if (p->role != ROLE_QMGR)
        return;
    late.qmgr = p;
    late.told = p->elder;
    report();
}

void
late_report_peer_gone(struct peer *p)
{
    struct list *it;
    size_t orphans;

    if (p->role != ROLE_QMGR)
        return;
    forget_written();
    while ((it = list_take(&late.given)) != NULL)
        list_append(&late.kept, it);
    if (late.qmgr == p)
        late.qmgr = NULL;
    orphans = count_orphans();
    if (orphans > 0)
        log_info("queue manager is gone: %zu deliveries under way end without "
                 "it",
            orphans);
    report();
}
