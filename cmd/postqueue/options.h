/*
 * options - postqueue's command line.
 */
#pragma once

#include "cmd/postqueue/shape.h"
#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/mail/queue_filter.h"

#include <stdint.h>

enum postqueue_mode {
    MODE_NONE,
    MODE_LIST,
    MODE_JSON, /* the same as JSON */
    MODE_FLUSH,
    MODE_FLUSH_ID,
    MODE_FLUSH_SITE,
    MODE_DESTINATIONS,
    MODE_SHAPE,
};

struct options {
    const char *config_dir;
    enum postqueue_mode mode;
    bool json;        /* of destinations and shape */
    const char *what; /* id or site; a destination, or NULL */
    unsigned queues;  /* of shape and listings; 0: not given */
    struct queue_filter filter;
    struct shape_options shape;
};

/* RESULT_PERMFAIL: *why has the complaint, or is empty for the usage. */
enum result options_parse(int argc, char **argv, int64_t now_us,
    struct options *o, struct why *why) ATTR_NONNULL ATTR_MUST_USE;
