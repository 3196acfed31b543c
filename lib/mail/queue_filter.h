/*
 * queue_filter - which messages of the queue a command means: by sender,
 * recipient, domain of a recipient, reason of its delay, age.
 *
 * Texts are patterns of lib/base/glob; one without '*' and '?' is meant
 * exactly. A message matches when all that is given holds; what is said of
 * recipients must hold for one and the same of those that are not settled.
 */
#pragma once

#include "lib/base/attr.h"
#include "lib/base/fields.h"
#include "lib/base/slice.h"
#include "lib/base/why.h"

#include <stdbool.h>
#include <stdint.h>

struct queue_item;

enum { QUEUE_FILTER_TEXT_MAX = 1024 };

/* Empty texts and 0 mean: any. */
struct queue_filter {
    struct slice sender; /* the null sender: "<>", or as "MAILER-DAEMON" */
    struct slice recipient;
    struct slice domain;
    struct slice reason;
    int64_t before_us; /* it arrived before, after that time, */
    int64_t after_us;  /* microseconds since 1970 */
};

bool queue_filter_is_empty(const struct queue_filter *f) ATTR_NONNULL;

/* What can be said without recipients and sender. */
bool queue_filter_age_matches(const struct queue_filter *f, int64_t arrival_us)
    ATTR_NONNULL;

/* All of it. */
bool queue_filter_matches(const struct queue_filter *f,
    const struct queue_item *item) ATTR_NONNULL;

/* The domain of an address; empty when it has none. */
struct slice queue_address_domain(struct slice address);

/* For lib/mail/queue_control: the fields as attributes. */
extern const struct field queue_filter_fields[];

/* Long options of commands; behind the last one { 0 } is to follow. */
enum queue_filter_option {
    QUEUE_FILTER_SENDER = 0x100,
    QUEUE_FILTER_RECIPIENT,
    QUEUE_FILTER_DOMAIN,
    QUEUE_FILTER_REASON,
    QUEUE_FILTER_OLDER,
    QUEUE_FILTER_NEWER,
    QUEUE_FILTER_END, /* a command's own may begin here */
};
#define QUEUE_FILTER_LONG_OPTIONS                                         \
    { "sender", required_argument, NULL, QUEUE_FILTER_SENDER },           \
        { "recipient", required_argument, NULL, QUEUE_FILTER_RECIPIENT }, \
        { "domain", required_argument, NULL, QUEUE_FILTER_DOMAIN },       \
        { "reason", required_argument, NULL, QUEUE_FILTER_REASON },       \
        { "older-than", required_argument, NULL, QUEUE_FILTER_OLDER },    \
    {                                                                     \
        "newer-than", required_argument, NULL, QUEUE_FILTER_NEWER         \
    }

/*
 * What was given with an option; text is borrowed. RESULT_PERMFAIL: it is
 * nothing that one can look for. An empty text is refused: it is a shell
 * variable that was not set rather than somebody's wish.
 */
enum result queue_filter_set(struct queue_filter *f, int option,
    const char *text, int64_t now_us, struct why *why)
    ATTR_NONNULL ATTR_MUST_USE;
