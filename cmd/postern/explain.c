/*
 * postern explain DESTINATION: in sentences, what holds the mail for a domain or
 * a next hop, and when it is tried again. For somebody who has just been woken.
 */
#include "cmd/postern/control.h"
#include "lib/base/clock.h"
#include "lib/base/list.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/printable.h"
#include "lib/daemon/command.h"
#include "lib/mail/queue_control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

enum {
    ARENA_MAX = 512 * 1024 * 1024,
    REASONS_SHOWN = 5,
    REASONS_MAX = 10000, /* different ones, before they are not told apart */
    LINE_MAX_OCTETS = 64 * 1024,
    FAILED = 1,
};

struct reason {
    struct map_node node; /* by text */
    uint64_t count;
    size_t length;
    char text[];
};

struct explanation {
    struct slice name;
    struct slice domain; /* the same, or of an address what is behind the '@' */
    int64_t now_ms;
    unsigned told; /* destinations */
    uint64_t queues[QUEUE_NAMES];
    int64_t oldest_us, next_ms; /* of the domain's deferred mail */
    bool waits_for_flush;       /* defer_transports */
    struct map reasons;
};

/* How it is said. */

static void
say(struct slice text)
{
    struct buf b;

    buf_init(&b, LINE_MAX_OCTETS);
    printable_add(text, &b);
    (void)fputs(buf_text(&b), stdout);
    buf_fini(&b);
}

static const char *
plural(uint64_t n)
{
    return n == 1 ? "" : "s";
}

static void
say_span(int64_t ms)
{
    int64_t s = (ms + 999) / 1000;

    if (s < 120)
        (void)printf("%lld second%s", (long long)s, plural((uint64_t)s));
    else if (s < 120 * 60)
        (void)printf("%lld minutes", (long long)(s + 59) / 60);
    else if (s < 48 * 3600)
        (void)printf("%lld hours", (long long)(s + 3599) / 3600);
    else
        (void)printf("%lld days", (long long)(s + 86399) / 86400);
}

/* "at Nov 21 23:10:05, in 4 minutes" */
static void
say_time(const struct explanation *x, int64_t at_ms)
{
    time_t at = (time_t)(at_ms / 1000);
    char text[32];
    struct tm tm;

    if (at_ms <= x->now_ms) {
        (void)printf("now");
        return;
    }
    (void)localtime_r(&at, &tm);
    (void)strftime(text, sizeof(text), "%b %e %H:%M:%S", &tm);
    (void)printf("at %s, in ", text);
    say_span(at_ms - x->now_ms);
}

/* What holds it: the scheduler's word for it, and what that means. */
static const struct {
    const char *hold, *sentence, *advice;
} holds[] = {
    { "dead",
        "It is taken for dead: so many deliveries in succession could not "
        "reach it.",
        "Then a single delivery finds out whether it is alive again." },
    { "probe",
        "It was dead. A single delivery is under way to find out whether it "
        "is alive again; the others wait for that.",
        NULL },
    { "concurrency", "As many deliveries are under way as it takes at a time.",
        "The number grows with each success, up to "
        "default_destination_concurrency_limit." },
    { "busy",
        "It said that it is busy, so that for a minute no more deliveries are "
        "offered at a time than it took.",
        NULL },
    { "destination rate delay",
        "Its deliveries are kept apart by "
        "default_destination_rate_delay, or that of its transport.",
        NULL },
    { "transport rate delay",
        "Deliveries of its transport are kept apart by "
        "default_transport_rate_delay, or that of the transport.",
        NULL },
    { "process limit",
        "Its transport has as many deliveries under way as maxproc in "
        "master.cf allows.",
        NULL },
    { "no process",
        "No process of its transport's program is running: the log says why.",
        NULL },
    { "defer_transports",
        "Its transport is named in defer_transports: its mail waits until "
        "somebody flushes the queue.",
        "That is \"postqueue -f\" for all of it, and \"postqueue -i\" for one "
        "message." },
};

static void
say_hold(const struct explanation *x, const struct queue_destination *d)
{
    const char *advice = NULL;

    if (d->hold.len == 0) {
        (void)printf("  Nothing holds it up.\n");
        return;
    }
    (void)printf("  ");
    for (size_t i = 0; i < sizeof(holds) / sizeof(holds[0]); i++) {
        if (!slice_eq_text(d->hold, holds[i].hold))
            continue;
        (void)printf("%s\n", holds[i].sentence);
        advice = holds[i].advice;
        break;
    }
    if (d->next_try_ms != 0) {
        (void)printf("  It is tried again ");
        say_time(x, d->next_try_ms);
        (void)printf(".\n");
    }
    if (advice != NULL)
        (void)printf("  %s\n", advice);
}

static void
say_reason(const struct queue_destination *d)
{
    if (d->reason.len == 0)
        return;
    if (d->failures > 1)
        (void)printf("  It failed so %llu times in succession, the last time "
                     "since:\n    ",
            (unsigned long long)d->failures);
    else
        (void)printf("  It failed since:\n    ");
    say(d->reason);
    (void)printf("\n");
}

static void
say_numbers(const struct explanation *x, const struct queue_destination *d)
{
    (void)printf("  %llu message%s in the active queue wait%s for it; %llu "
                 "deliver%s under way, %llu allowed at a time.\n",
        (unsigned long long)d->waiting_messages, plural(d->waiting_messages),
        d->waiting_messages == 1 ? "s" : "", (unsigned long long)d->running,
        d->running == 1 ? "y is" : "ies are", (unsigned long long)d->window);
    if (d->rate_delay_ms > 0)
        (void)printf("  Deliveries are %.3g seconds apart.\n",
            (double)d->rate_delay_ms / 1000);
    if (d->deferred == 0)
        return;
    (void)printf("  %llu message%s deferred for it; the first is due ",
        (unsigned long long)d->deferred, d->deferred == 1 ? " is" : "s are");
    say_time(x, d->next_due_ms);
    (void)printf(".\n");
}

static void
say_route(const struct explanation *x, const struct queue_destination *d)
{
    if (d->is_route) {
        (void)printf("Mail for ");
        say(x->name);
        (void)printf(" goes by the transport ");
    } else {
        (void)printf("The transport ");
    }
    say(d->transport);
    if (d->nexthop.len > 0) {
        (void)printf(d->is_route ? " to " : " sends mail to ");
        say(d->nexthop);
    }
    if (d->recipient.len > 0) {
        (void)printf(", for the recipient ");
        say(d->recipient);
    }
    (void)printf(".\n");
}

/* Transports that are not there to deliver. */
static bool
say_inside(const struct queue_destination *d)
{
    const char *text;

    if (slice_eq_text(d->transport, "error"))
        text = "  It is returned to the sender at once.\n";
    else if (slice_eq_text(d->transport, "retry"))
        text = "  It is deferred, whatever happens.\n";
    else if (slice_eq_text(d->transport, "discard"))
        text = "  It is thrown away.\n";
    else
        return false;
    (void)fputs(text, stdout);
    return true;
}

static bool
take_destination(void *context, struct slice in)
{
    struct explanation *x = context;
    struct queue_destination d;

    if (!queue_destination_decode(in, &d))
        return false;
    if (d.transport.len == 0) /* deferred mail of the domain: comes below */
        return true;
    x->told++;
    x->waits_for_flush = slice_eq_text(d.hold, "defer_transports");
    say_route(x, &d);
    if (say_inside(&d))
        return true;
    if (d.health.len == 0) {
        (void)printf("  Nothing of it is under way, and nothing is known of "
                     "the destination.\n");
        if (d.hold.len > 0)
            say_hold(x, &d);
        return true;
    }
    say_hold(x, &d);
    say_reason(&d);
    say_numbers(x, &d);
    return true;
}

/* The domain's messages. */

static bool
same_reason(const struct map_node *node, const void *key)
{
    const struct reason *r = (const struct reason *)(const void *)node;

    return slice_eq(*(const struct slice *)key,
        (struct slice){ r->text, r->length });
}

static void
count_reason(struct explanation *x, struct slice text)
{
    uint64_t hash = map_hash_slice(text);
    struct map_node *n;
    struct reason *r;

    n = map_find(&x->reasons, hash, same_reason, &text);
    if (n == NULL && x->reasons.count >= REASONS_MAX)
        return;
    if (n == NULL) {
        r = mem_alloc(sizeof(*r) + text.len);
        r->length = text.len;
        memcpy(r->text, text.ptr, text.len);
        map_add(&x->reasons, hash, &r->node);
    } else {
        r = LIST_ENTRY(n, struct reason, node);
    }
    r->count++;
}

static void
count_item(struct explanation *x, const struct queue_item *item)
{
    struct slice reason = SLICE_LIT("");

    x->queues[item->queue]++;
    if (x->oldest_us == 0 || item->arrival_us < x->oldest_us)
        x->oldest_us = item->arrival_us;
    if (item->next_try_ms != 0 &&
        (x->next_ms == 0 || item->next_try_ms < x->next_ms))
        x->next_ms = item->next_try_ms;
    for (size_t i = 0; i < item->recipient_count && reason.len == 0; i++)
        if (slice_eq_nocase(queue_address_domain(item->recipients[i].address),
                x->domain))
            reason = item->recipients[i].reason;
    if (item->queue == QUEUE_DEFERRED && reason.len > 0)
        count_reason(x, reason);
}

static bool
take_item(void *context, struct slice in)
{
    struct queue_item item;
    struct arena arena;
    struct why why;
    bool good;

    arena_init(&arena, ARENA_MAX);
    good = queue_item_decode(in, &arena, &item, &why) == RESULT_OK;
    if (good)
        count_item(context, &item);
    arena_clear(&arena);
    return good;
}

static int
more_often(const void *a, const void *b)
{
    const struct reason *x = *(struct reason *const *)a;
    const struct reason *y = *(struct reason *const *)b;

    return (x->count < y->count) - (x->count > y->count);
}

static void
say_reasons(const struct explanation *x)
{
    struct reason **all = mem_alloc_array(x->reasons.count + 1,
        sizeof(struct reason *));
    size_t n = 0;

    for (struct map_node *at = map_first(&x->reasons); at != NULL;
         at = map_after(&x->reasons, at))
        all[n++] = LIST_ENTRY(at, struct reason, node);
    qsort(all, n, sizeof(struct reason *), more_often);
    if (n > 0)
        (void)printf("  Why, and how often:\n");
    for (size_t i = 0; i < n && i < REASONS_SHOWN; i++) {
        (void)printf("  %8llu  ", (unsigned long long)all[i]->count);
        say((struct slice){ all[i]->text, all[i]->length });
        (void)printf("\n");
    }
    if (n > REASONS_SHOWN)
        (void)printf("  and %zu more reasons\n", n - REASONS_SHOWN);
    for (size_t i = 0; i < n; i++)
        mem_free(all[i]);
    mem_free(all);
}

static void
say_domain(const struct explanation *x)
{
    uint64_t deferred = x->queues[QUEUE_DEFERRED];
    uint64_t held = x->queues[QUEUE_HOLD];
    uint64_t going = x->queues[QUEUE_ACTIVE] + x->queues[QUEUE_INCOMING];

    if (deferred + held + going == 0) {
        (void)printf("No message for that domain is in the queue.\n");
        return;
    }
    (void)printf("Messages for that domain: %llu incoming or active, %llu "
                 "deferred, %llu on hold; the oldest is ",
        (unsigned long long)going, (unsigned long long)deferred,
        (unsigned long long)held);
    say_span(x->now_ms - x->oldest_us / 1000);
    (void)printf(" old.\n");
    if (deferred > 0) {
        (void)printf("  The first of the deferred ones is tried again ");
        say_time(x, x->next_ms);
        (void)printf(".\n");
    }
    say_reasons(x);
    if (held > 0)
        (void)printf("  Those on hold stay there until \"postsuper -H\".\n");
    if (deferred > 0 && !x->waits_for_flush) {
        (void)printf("To have them tried now: postsuper -r --domain=");
        say(x->domain);
        (void)printf(" deferred\n");
    }
}

/* Asking */

static void
ask(const struct control *c, enum message type, const struct queue_request *r,
    queue_item_fn item, struct explanation *x)
{
    enum queue_reach reach;
    struct queue_done done;
    struct msg m;
    struct why why;
    int fd;

    msg_init(&m, type);
    queue_request_encode(r, &m);
    if (queue_control_open(c->set, &reach, &fd, &why) != RESULT_OK ||
        queue_control_ask(fd, &m, item, x, &done, &why) != RESULT_OK)
        command_fail(FAILED, "explain: %s", why.text);
    queue_control_close(fd);
    if (done.result != RESULT_OK)
        command_fail(FAILED, "explain: %s", done.why.text);
    if (type == MESSAGE_QUEUE_DESTINATIONS && reach == QUEUE_OFFLINE)
        (void)printf("The mail system is down: nothing is delivered.\n");
}

/* As it is, nothing in it special: a pattern of lib/base/glob. */
static char *
literally(const char *name)
{
    char *text = mem_alloc(2 * strlen(name) + 1), *to = text;

    for (; *name != '\0'; name++) {
        if (strchr("*?\\", *name) != NULL)
            *to++ = '\\';
        *to++ = *name;
    }
    return text;
}

int
control_explain(const struct control *c)
{
    struct explanation x = {
        .name = slice_of(c->argument),
        .now_ms = clock_wall_us() / 1000,
    };
    struct queue_request *r = mem_alloc(sizeof(*r));
    const char *at = strrchr(c->argument, '@');
    const char *domain = at == NULL ? c->argument : at + 1;
    char *pattern = literally(domain);

    x.domain = slice_of(domain);
    r->site = x.name;
    ask(c, MESSAGE_QUEUE_DESTINATIONS, r, take_destination, &x);
    r->site = SLICE_LIT("");
    r->queues = QUEUE_ALL & ~(1U << QUEUE_CORRUPT);
    r->filter.domain = slice_of(pattern);
    ask(c, MESSAGE_QUEUE_LIST, r, take_item, &x);
    if (x.told == 0)
        (void)printf("The scheduler knows of no destination of that name.\n");
    say_domain(&x);
    map_fini(&x.reasons);
    mem_free(pattern);
    mem_free(r);
    return fflush(stdout) == 0 ? EX_OK : EX_IOERR;
}
