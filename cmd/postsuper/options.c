#include "cmd/postsuper/options.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/daemon/command.h"
#include "lib/mail/queue_id.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct task tasks[TASKS] = {
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

enum { LONG_DRY_RUN = QUEUE_FILTER_END };
static const char letters[] = "c:d:e:f:h:H:pr:sSv";
static const struct option long_options[] = {
    QUEUE_FILTER_LONG_OPTIONS,
    { "dry-run", no_argument, NULL, LONG_DRY_RUN },
    { 0 },
};

/* Queues of Postfix in which we never have a message. */
static const char *const empty_queues[] = { "maildrop", "bounce", "defer",
    "trace", "flush" };
enum { EMPTY_QUEUES = sizeof(empty_queues) / sizeof(empty_queues[0]) };

const struct task *
task_of(int option)
{
    const struct task *t = tasks;

    while (t->option != option)
        t++;
    return t;
}

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

void
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

void
parse_options(struct super *s, int argc, char **argv)
{
    int option;

    while ((option = getopt_long(argc, argv, letters, long_options, NULL)) >= 0)
        take_option(s, option);
    for (; optind < argc; optind++)
        take_queue(s, argv[optind]);
}
