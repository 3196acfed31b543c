/*
 * shape - how old the mail is that waits, domain by domain: Postfix's qshape(1).
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/map.h"
#include "lib/mail/queue_control.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    SHAPE_BUCKETS = 10, /* defaults of qshape's options */
    SHAPE_TICK = 5,
    SHAPE_WIDTH = 80,
    SHAPE_SUBDOMAINS = 5,
    SHAPE_TOP = 20,
    SHAPE_BUCKETS_MAX = 30,
    SHAPE_TICK_MAX = 366 * 24 * 60,
};

struct shape_options {
    bool senders;        /* -s */
    bool parents;        /* -p */
    bool linear;         /* -l */
    bool json;           /* -j */
    uint32_t buckets;    /* -b: 1 .. SHAPE_BUCKETS_MAX */
    uint32_t tick;       /* -t: minutes */
    uint32_t width;      /* -w */
    uint32_t subdomains; /* -m: those of a parent that is shown */
    uint32_t top;        /* -n: domains; 0: all */
};

struct shape {
    struct shape_options options;
    int64_t now_us;
    struct map domains;
    struct shape_domain *total;
};

void shape_init(struct shape *s, const struct shape_options *options,
    int64_t now_us) ATTR_NONNULL;
void shape_add(struct shape *s, const struct queue_item *item) ATTR_NONNULL;
void shape_print(const struct shape *s, FILE *to) ATTR_NONNULL;
void shape_fini(struct shape *s) ATTR_NONNULL;
