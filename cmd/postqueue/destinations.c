#include "cmd/postqueue/destinations.h"

#include "lib/base/buf.h"
#include "lib/base/json.h"
#include "lib/base/printable.h"

#include <time.h>

enum { LINE_MAX_OCTETS = 64 * 1024, NAME_COLUMNS = 40 };

static void
put_number(struct buf *to, const char *name, uint64_t n)
{
    buf_add_format(to, "\"%s\": %llu, ", name, (unsigned long long)n);
}

static void
put_text(struct buf *to, const char *name, struct slice text)
{
    json_member(to, name, text);
    buf_add_text(to, ", ");
}

/* Seconds since 1970, or null. */
static void
put_time(struct buf *to, const char *name, int64_t at_ms)
{
    if (at_ms == 0)
        buf_add_format(to, "\"%s\": null, ", name);
    else
        put_number(to, name, (uint64_t)at_ms / 1000);
}

static void
print_json(FILE *to, const struct queue_destination *d)
{
    struct buf b;

    buf_init(&b, LINE_MAX_OCTETS);
    buf_add_octet(&b, '{');
    put_text(&b, "transport", d->transport);
    put_text(&b, "nexthop", d->nexthop);
    put_text(&b, "recipient", d->recipient);
    put_text(&b, "health", d->health);
    put_text(&b, "hold", d->hold);
    put_number(&b, "window", d->window);
    put_number(&b, "window_limit", d->window_limit);
    put_number(&b, "running", d->running);
    put_number(&b, "idle_sessions", d->idle_sessions);
    put_number(&b, "waiting_messages", d->waiting_messages);
    put_number(&b, "waiting_recipients", d->waiting_recipients);
    put_number(&b, "deferred_messages", d->deferred);
    buf_add_format(&b, "\"rate_delay\": %.3f, ",
        (double)d->rate_delay_ms / 1000);
    put_time(&b, "next_try", d->next_try_ms);
    put_time(&b, "deferred_until", d->next_due_ms);
    put_number(&b, "failures", d->failures);
    put_text(&b, "status", d->status);
    json_member(&b, "reason", d->reason);
    buf_add_text(&b, "}\n");
    (void)fwrite(b.ptr, 1, b.len, to);
    buf_fini(&b);
}

static void
put_clock(struct buf *to, const char *before, int64_t at_ms)
{
    time_t at = (time_t)(at_ms / 1000);
    char text[32];
    struct tm tm;

    (void)localtime_r(&at, &tm);
    (void)strftime(text, sizeof(text), "%b %e %H:%M:%S", &tm);
    buf_add_format(to, "%s%s", before, text);
}

/* What holds it up, if anything, and until when. */
static void
put_state(struct buf *to, const struct queue_destination *d)
{
    if (d->transport.len == 0)
        buf_add_text(to, "deferred");
    else if (d->hold.len > 0)
        printable_add(d->hold, to);
    else
        buf_add_text(to, "-");
    if (d->next_try_ms != 0)
        put_clock(to, " until ", d->next_try_ms);
    if (d->deferred > 0 && d->next_due_ms != 0)
        put_clock(to, ", next mail ", d->next_due_ms);
    if (d->reason.len > 0) {
        buf_add_text(to, " (");
        printable_add(d->reason, to);
        buf_add_octet(to, ')');
    }
}

static void
put_name(struct buf *to, const struct queue_destination *d)
{
    printable_add(d->transport.len > 0 ? d->transport : SLICE_LIT("-"), to);
    buf_add_octet(to, ':');
    printable_add(d->nexthop.len > 0 || d->transport.len > 0
            ? d->nexthop
            : SLICE_LIT("(several domains)"),
        to);
    if (d->recipient.len > 0) {
        buf_add_octet(to, ' ');
        printable_add(d->recipient, to);
    }
}

static void
print_text(FILE *to, const struct queue_destination *d)
{
    struct buf name, state;

    buf_init(&name, LINE_MAX_OCTETS);
    buf_init(&state, LINE_MAX_OCTETS);
    put_name(&name, d);
    put_state(&state, d);
    (void)fprintf(to, "%-*s %6llu %7llu %7llu %8llu  %s\n", NAME_COLUMNS,
        buf_text(&name), (unsigned long long)d->window,
        (unsigned long long)d->running, (unsigned long long)d->waiting_messages,
        (unsigned long long)d->deferred, buf_text(&state));
    buf_fini(&name);
    buf_fini(&state);
}

void
destinations_item(struct destinations *l, const struct queue_destination *d)
{
    if (l->json) {
        print_json(l->to, d);
        return;
    }
    if (l->count++ == 0)
        (void)fprintf(l->to, "%-*s %6s %7s %7s %8s  %s\n", NAME_COLUMNS,
            "Transport:nexthop", "Window", "Running", "Waiting", "Deferred",
            "Held by");
    print_text(l->to, d);
}

void
destinations_end(struct destinations *l)
{
    if (!l->json && l->count == 0)
        (void)fprintf(l->to, "No destination has mail\n");
}
