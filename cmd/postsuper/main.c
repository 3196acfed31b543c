/*
 * postsuper - delete, hold, release, requeue and expire messages.
 */
#include "cmd/postsuper/options.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/daemon/command.h"
#include "lib/mail/queue_id.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order in which they are told. */
static const char totals[] = "rdehH";

struct saying {
    const struct task *task;
    bool long_ids, dry_run;
};

/* What was not done is not for the log. */
static void
say_done(const struct saying *s, const char *id)
{
    if (s->dry_run)
        (void)printf("%s: would be %s\n", id, s->task->each);
    else
        command_say(LOG_LEVEL_INFO, "%s: %s", id, s->task->each);
}

static bool
say_one(void *context, struct slice in)
{
    const struct saying *s = context;
    char text[QUEUE_ID_SIZE];
    struct tlv v;
    uint64_t id;

    while (tlv_next(&in, &v))
        if (v.tag == ATTR_ID && tlv_u64(v.value, UINT64_MAX, &id))
            say_done(s, queue_id_text(id, s->long_ids, text));
    return true;
}

static uint64_t
ask(struct super *s, const struct task *t, const struct queue_request *r)
{
    struct saying saying = {
        t,
        config_main(s->set)->enable_long_queue_ids,
        s->dry_run,
    };
    struct queue_done done;
    struct msg m;
    struct why why;

    msg_init(&m, MESSAGE_QUEUE_EDIT);
    queue_request_encode(r, &m);
    if (queue_control_ask(s->fd, &m, say_one, &saying, &done, &why) !=
        RESULT_OK)
        command_fail(FAILURE, "%s", why.text);
    if (done.result != RESULT_OK)
        command_fail(FAILURE, "%s", done.why.text);
    return done.count;
}

/* Those that o names, as many at a time as one request holds. */
static uint64_t
ask_by_id(struct super *s, const struct order *o, const struct task *t,
    struct queue_request *r)
{
    uint64_t count = 0;

    for (size_t at = 0; at < o->count; at += r->id_count) {
        size_t left = o->count - at;

        r->id_count = left < QUEUE_EDIT_IDS ? left : QUEUE_EDIT_IDS;
        memcpy(r->ids, o->ids + at, r->id_count * sizeof(r->ids[0]));
        count += ask(s, t, r);
    }
    return count;
}

static uint64_t
carry_out_task(struct super *s, const struct order *o, const struct task *t)
{
    struct queue_request *r = mem_alloc(sizeof(*r));
    unsigned queues = s->queues != 0 ? s->queues : t->queues;
    uint64_t count = 0;

    r->task = t->task;
    r->queues = queues & QUEUE_ALL;
    r->filter = s->filter;
    r->flags = s->dry_run ? QUEUE_DRY_RUN : 0;
    if (!o->all || s->dry_run)
        r->flags |= QUEUE_NAME_EACH;
    if (r->queues != 0)
        count = o->all ? ask(s, t, r) : ask_by_id(s, o, t, r);
    mem_free(r);
    return count;
}

static void
carry_out(struct super *s, const struct order *o)
{
    const struct task *released = task_of('H');

    if (o->task->option == 'f') {
        s->done[task_of('e') - tasks] += carry_out_task(s, o, o->task);
        s->done[released - tasks] += carry_out_task(s, o, released);
    } else {
        s->done[o->task - tasks] += carry_out_task(s, o, o->task);
    }
}

/* What is meant for all comes first, as it does with Postfix. */
static void
carry_out_all(struct super *s)
{
    for (size_t t = 0; t < TASKS; t++)
        for (size_t i = 0; i < s->order_count; i++)
            if (s->orders[i].all && s->orders[i].task == &tasks[t])
                carry_out(s, &s->orders[i]);
    for (size_t i = 0; i < s->order_count; i++)
        if (!s->orders[i].all)
            carry_out(s, &s->orders[i]);
}

static void
say_total(const struct super *s, const struct task *task)
{
    unsigned long long count = s->done[task - tasks];
    const char *plural = count == 1 ? "" : "s";

    if (s->dry_run)
        (void)printf("%llu message%s would be %s\n", count, plural, task->each);
    else
        command_say(LOG_LEVEL_INFO, "%s: %llu message%s", task->total, count,
            plural);
}

static bool
was_given(const struct super *s, const struct task *task)
{
    for (size_t i = 0; i < s->order_count; i++)
        if (s->orders[i].task == task ||
            (s->orders[i].task->option == 'f' &&
                (task->option == 'e' || task->option == 'H')))
            return true;
    return false;
}

static void
say_totals(const struct super *s)
{
    for (const char *letter = totals; *letter != '\0'; letter++)
        if (was_given(s, task_of(*letter)))
            say_total(s, task_of(*letter));
}

static void
end(struct super *s)
{
    for (size_t i = 0; i < s->order_count; i++)
        mem_free(s->orders[i].ids);
    mem_free(s->orders);
    queue_control_close(s->fd);
    config_drop(s->set);
}

/* -p, -s, -S and nothing at all: there is nothing to do, for who might do it. */
static void
tidy_up(const struct super *s)
{
    char *spool = mem_format("%s/spool", config_main(s->set)->queue_directory);

    if (access(spool, R_OK | W_OK | X_OK) < 0 && errno == EACCES)
        command_fail(FAILURE,
            "use of this command is reserved for the superuser");
    mem_free(spool);
}

int
main(int argc, char **argv)
{
    struct super s = { .fd = -1 };
    enum queue_reach reach;
    struct why why;

    parse_config_dir(&s, argc, argv);
    s.set = command_begin("postsuper", s.config_dir, FAILURE);
    (void)signal(SIGPIPE, SIG_IGN);
    parse_options(&s, argc, argv);
    if (s.order_count == 0 && (s.dry_run || !queue_filter_is_empty(&s.filter)))
        command_fail(FAILURE, "what is to be done with these messages?");
    if (s.order_count == 0)
        tidy_up(&s);
    else if (queue_control_open(s.set, &reach, &s.fd, &why) != RESULT_OK)
        command_fail(FAILURE, "%s", why.text);
    carry_out_all(&s);
    say_totals(&s);
    end(&s);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : FAILURE;
}
