#include "smtpd/probe.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/mem.h"
#include "lib/io/fiber.h"
#include "lib/mail/cleanup.h"
#include "lib/mail/resubmit.h"
#include "lib/mail/verify_sender.h"

enum {
    ANSWER_MS = 10 * 1000, /* lookup may be starting anew */
    ARENA_MAX = 1024 * 1024,
    UNDER_WAY_MAX = 500, /* 50 KB each */
};

/* One on its way; nobody waits for it. */
struct probe {
    struct config_set *set;
    struct arena arena;
    struct slice address;
};

static struct {
    unsigned under_way;
    struct fiber_cond ended;
} probes = { .ended = { LIST_INIT(probes.ended.waiters) } };

static enum result
fill_envelope(struct probe *p, const struct config *config,
    struct envelope *env, struct why *why)
{
    const struct config *rewrite = config_of_service(p->set,
        config->rewrite_service_name);
    const struct recipient rcpt = { .address = p->address,
        .notify = NOTIFY_NEVER };
    enum result res;

    *env = (struct envelope){
        .arrival_us = clock_wall_us(),
        .flags = ENVELOPE_INTERNAL | ENVELOPE_VERIFY | ENVELOPE_PROBE |
            (slice_is_ascii(p->address) ? 0U : (uint32_t)ENVELOPE_UTF8),
        .rewrite = SLICE_LIT("local"),
    };
    res = verify_sender_make(config, rewrite, clock_wall_s(), &p->arena,
        &env->sender, why);
    if (res == RESULT_OK)
        res = envelope_add_recipient(env, &p->arena, &rcpt, why);
    if (res == RESULT_OK)
        res = submission_next_id(clock_now_ms() + LEASE_WAIT_MS, &env->id, why);
    return res;
}

/* A message as good as any, since some hosts look at it after DATA. */
static enum result
submit(struct probe *p, struct why *why)
{
    const struct config *config = config_of_service(p->set, "verify");
    const struct cleanup_options options = { .set = p->set,
        .service = config->cleanup_service_name,
        .own_client = true };
    struct cleanup *c;
    struct envelope env;
    struct buf received;
    enum result res = fill_envelope(p, config, &env, why);

    if (res == RESULT_OK)
        res = cleanup_begin(&options, &env, &p->arena, &c, why);
    if (res != RESULT_OK)
        return res;
    buf_init(&received, ARENA_MAX);
    resubmit_received(config, env.id, &received);
    cleanup_prepend(c, buf_slice(&received));
    buf_fini(&received);
    return cleanup_end(c, clock_now_ms() + SUBMIT_WAIT_MS, why);
}

static void
run(void *arg)
{
    struct probe *p = arg;
    struct why why;

    if (submit(p, &why) != RESULT_OK) {
        log_write(LOG_LEVEL_WARNING,
            config_tag_of_service(p->set, "verify", "verify"),
            "probe of <" SLICE_FMT ">: %s", SLICE_ARG(p->address), why.text);
        verify_lost(p->address);
    }
    arena_clear(&p->arena);
    config_drop(p->set);
    mem_free(p);
    probes.under_way--;
    fiber_cond_broadcast(&probes.ended);
}

/*
 * Clients that do not wait for results could ask for probes without end while
 * qmgr does not take any: those above the number are left to who asks later.
 */
static void
send_probe(struct config_set *set, struct slice address)
{
    struct probe *p;

    if (probes.under_way >= UNDER_WAY_MAX) {
        verify_lost(address);
        return;
    }
    p = mem_alloc(sizeof(*p));
    arena_init(&p->arena, ARENA_MAX);
    if (arena_slice(&p->arena, address, &p->address)) {
        p->set = config_hold(set);
        probes.under_way++;
        if (fiber_spawn("probe", run, p) != NULL)
            return;
        probes.under_way--;
        config_drop(set);
    }
    arena_clear(&p->arena);
    mem_free(p);
    verify_lost(address);
}

static bool
ask(const struct session *s, const struct verify_question *q, struct buf *text,
    struct verify_answer *a)
{
    int64_t deadline = clock_now_ms() + q->wait_ms + ANSWER_MS;

    if (!verify_ask(q, deadline, text, a))
        return false;
    if (a->probe_due)
        send_probe(s->set, q->address);
    return true;
}

/* Who polls is told as soon as it is known. */
bool
probe_ask(const struct session *s, struct slice address, struct buf *text,
    struct verify_answer *a)
{
    struct verify_question q = { .address = address,
        .flags = VERIFY_ASK_PROBE };

    if (s->ask_verified != NULL)
        return s->ask_verified(s, &q, text, a);
    if (!ask(s, &q, text, a))
        return false;
    q.wait_ms = s->config->address_verify_poll_delay < VERIFY_WAIT_MAX_MS
        ? (uint32_t)s->config->address_verify_poll_delay
        : VERIFY_WAIT_MAX_MS;
    for (int64_t polls = 1; a->verified == VERIFIED_PENDING &&
         polls < s->config->address_verify_poll_count;
         polls++)
        if (!ask(s, &q, text, a))
            return false;
    return true;
}

void
probes_drain(int64_t deadline_ms)
{
    while (probes.under_way > 0 &&
        fiber_cond_wait(&probes.ended, deadline_ms) == WAIT_OK)
        continue;
}
