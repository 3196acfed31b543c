/*
 * postsuper - delete, hold, release, requeue and expire messages.
 */
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/daemon/command.h"
#include "lib/mail/queue_control.h"
#include "lib/mail/queue_id.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FAILURE = 1 };

/* What each option does and says. -f is two of them, and their totals. */
static const struct task {
    int option;
    enum queue_task task;
    unsigned queues; /* unless the command names some */
    const char *each, *total;
} tasks[] = {
#define LIVE (1 << QUEUE_INCOMING | 1 << QUEUE_ACTIVE | 1 << QUEUE_DEFERRED)
    { 'd', QUEUE_TASK_DELETE, LIVE | 1 << QUEUE_HOLD, "removed", "Deleted" },
    { 'h', QUEUE_TASK_HOLD, LIVE, "placed on hold", "Placed on hold" },
    { 'H', QUEUE_TASK_RELEASE, 1 << QUEUE_HOLD, "released from hold",
        "Released from hold" },
    { 'r', QUEUE_TASK_REQUEUE, LIVE | 1 << QUEUE_HOLD, "requeued", "Requeued" },
    { 'e', QUEUE_TASK_EXPIRE, LIVE | 1 << QUEUE_HOLD, "expired",
        "Force-expired" },
    { 'f', QUEUE_TASK_EXPIRE_NOW, LIVE | 1 << QUEUE_HOLD, "expired", NULL },
};
enum { TASKS = sizeof(tasks) / sizeof(tasks[0]) };

enum { LONG_DRY_RUN = QUEUE_FILTER_END };
static const char letters[] = "c:d:e:f:h:H:pr:sSv";
static const struct option long_options[] = {
    QUEUE_FILTER_LONG_OPTIONS,
    { "dry-run", no_argument, NULL, LONG_DRY_RUN },
    { 0 },
};

/* In the order in which they are told. */
static const char totals[] = "rdehH";

/* Queues of Postfix in which we never have a message. */
static const char *const empty_queues[] = { "maildrop", "bounce", "defer",
    "trace", "flush" };
enum {
    EMPTY_QUEUES = sizeof(empty_queues) / sizeof(empty_queues[0]),
    QUEUE_EMPTY = QUEUE_NAMES,
};

/* One option, or several of the same letter that follow each other. */
struct order {
    const struct task *task;
    bool all;
    uint64_t *ids;
    size_t count, room;
};

struct super {
    const char *config_dir;
    struct order *orders; /* as they were given */
    size_t order_count, order_room;
    uint64_t done[TASKS];
    unsigned queues; /* named on the command line; 0: none */
    struct queue_filter filter;
    bool dry_run;
    struct config_set *set;
    int fd;
};

static void
usage(void)
{
    command_fail(FAILURE,
        "usage: postsuper [-c config_dir] [-d queue_id (delete)] "
        "[-e queue_id (expire)] [-f queue_id (expire and/or un-hold)] "
        "[-h queue_id (hold)] [-H queue_id (un-hold)] "
        "[-p (purge temporary files)] [-r queue_id (requeue)] "
        "[-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] "
        "[--sender=pattern] [--recipient=pattern] [--domain=pattern] "
        "[--reason=pattern] [--older-than=time] [--newer-than=time] "
        "[--dry-run] [queue...]");
}

static void
add_id(struct order *o, struct slice text)
{
    uint64_t id;

    if (!queue_id_parse(text, &id)) {
        /* One that we would not make is of no message, and no mistake. */
        if (queue_id_is_well_formed(text))
            return;
        command_say(LOG_LEVEL_WARNING, "invalid mail queue id: " SLICE_FMT,
            SLICE_ARG(text));
        return;
    }
    if (o->count == o->room) {
        o->room = o->room == 0 ? 64 : o->room * 2;
        o->ids = mem_resize(o->ids, o->room * sizeof(*o->ids));
    }
    o->ids[o->count++] = id;
}

static void
read_ids(struct order *o)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t n;

    while ((n = getline(&line, &room, stdin)) >= 0) {
        struct slice text = slice_trim((struct slice){ line, (size_t)n });

        if (text.len > 0)
            add_id(o, text);
    }
    free(line);
}

static struct order *
order_of(struct super *s, const struct task *task, bool all)
{
    struct order *last = s->order_count == 0 ? NULL
                                             : &s->orders[s->order_count - 1];

    if (last != NULL && last->task == task && last->all == all)
        return last;
    if (s->order_count == s->order_room) {
        s->order_room = s->order_room == 0 ? 8 : s->order_room * 2;
        s->orders = mem_resize(s->orders, s->order_room * sizeof(*s->orders));
    }
    assert(s->orders != NULL);
    last = &s->orders[s->order_count++];
    *last = (struct order){ .task = task, .all = all };
    return last;
}

static void
take_order(struct super *s, const struct task *task, const char *text)
{
    bool all = strcmp(text, "ALL") == 0;
    struct order *o = order_of(s, task, all);

    if (all)
        return;
    if (strcmp(text, "-") == 0)
        read_ids(o);
    else
        add_id(o, slice_of(text));
}

/* The command line is read twice: -c decides where warnings are logged. */
static void
parse_config_dir(struct super *s, int argc, char **argv)
{
    int option;

    opterr = 0;
    while ((option = getopt_long(argc, argv, letters, long_options, NULL)) >= 0)
        if (option == 'c')
            s->config_dir = optarg;
    optind = 1;
    opterr = 1;
}

/*
 * "-d --sender=a@b" is "-d ALL --sender=a@b": what follows -d is no id, and
 * getopt() is to see it once more.
 */
static void
take_task(struct super *s, const struct task *task)
{
    if (optarg[0] == '-' && optarg[1] == '-' && optarg[2] != '\0') {
        optind--;
        take_order(s, task, "ALL");
    } else {
        take_order(s, task, optarg);
    }
}

static void
take_option(struct super *s, int option)
{
    struct why why;

    if (option == '?')
        usage();
    if (option >= QUEUE_FILTER_SENDER && option < QUEUE_FILTER_END &&
        queue_filter_set(&s->filter, option, optarg, clock_wall_us(), &why) !=
            RESULT_OK)
        command_fail(FAILURE, "%s", why.text);
    s->dry_run |= option == LONG_DRY_RUN;
    for (size_t i = 0; i < TASKS; i++)
        if (tasks[i].option == option)
            take_task(s, &tasks[i]);
}

static void
take_queue(struct super *s, const char *name)
{
    enum queue_name queue;

    for (size_t i = 0; i < EMPTY_QUEUES; i++) {
        if (strcmp(name, empty_queues[i]) == 0) {
            s->queues |= 1U << QUEUE_EMPTY;
            return;
        }
    }
    if (!queue_name_parse(slice_of(name), &queue) || queue == QUEUE_CORRUPT)
        command_fail(FAILURE, "invalid directory name: %s", name);
    s->queues |= 1U << queue;
}

static void
parse_options(struct super *s, int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, letters, long_options, NULL)) >= 0)
        take_option(s, option);
    for (; optind < argc; optind++)
        take_queue(s, argv[optind]);
}

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

static const struct task *
task_of(int option)
{
    const struct task *t = tasks;

    while (t->option != option)
        t++;
    return t;
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
