/*
 * options - what the command line orders, in its order.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/config/config.h"
#include "lib/mail/queue_control.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAILURE = 1 };

/* What an option does and says. */
struct task {
    int option;
    enum queue_task task;
    unsigned queues; /* unless the command names some */
    const char *each, *total;
};

/* -f is two of them, and has their totals. */
enum { TASKS = 6 };
extern const struct task tasks[TASKS];

/* Queues that are named, and in which we never have a message. */
enum { QUEUE_EMPTY = QUEUE_NAMES };

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

/* The command line is read twice: -c decides where warnings are logged. */
void parse_config_dir(struct super *s, int argc, char **argv) ATTR_NONNULL;

/* Ends the command where it makes no sense. */
void parse_options(struct super *s, int argc, char **argv) ATTR_NONNULL;

/* The task of a letter that has one. */
const struct task *task_of(int option) ATTR_MUST_USE;
