#include "lib/mail/delivery_log.h"

#include "lib/base/log.h"
#include "lib/mail/queue_id.h"

#include <stdio.h>

const char *
delivery_delay_text(int64_t us, char text[DELAY_TEXT_SIZE])
{
    double s = us < 0 ? 0 : (double)us / 1e6;

    if (s < 0.005)
        (void)snprintf(text, DELAY_TEXT_SIZE, "0");
    else if (s < 0.1)
        (void)snprintf(text, DELAY_TEXT_SIZE, "%.2f", s);
    else if (s < 10)
        (void)snprintf(text, DELAY_TEXT_SIZE, "%.2g", s);
    else
        (void)snprintf(text, DELAY_TEXT_SIZE, "%.0f", s);
    return text;
}

static const char *const outcome_words[] = {
    [OUTCOME_SENT] = "sent",
    [OUTCOME_DEFERRED] = "deferred",
    [OUTCOME_BOUNCED] = "bounced",
    [OUTCOME_EXPANDED] = "sent",
    [OUTCOME_RETURNED] = "deferred",
};

static const char *
outcome_word(const struct delivery *d, const struct rcpt_result *r)
{
    if (envelope_is_probe(&d->envelope))
        return r->outcome == OUTCOME_SENT ? "deliverable" : "undeliverable";
    return r->softened ? "SOFTBOUNCE" : outcome_words[r->outcome];
}

static int64_t
after(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

void
delivery_log(const char *tag, bool long_ids, const struct delivery *d,
    const struct delivery_recipient *rcpt, const struct rcpt_result *r,
    const struct delivery_times *times)
{
    char id[QUEUE_ID_SIZE], total[16], a[16], b[16], c[16], e[16];
    int64_t arrival = d->envelope.arrival_us;
    int64_t active = after(d->active_us, arrival);
    int64_t start = after(times->start_us, active);
    int64_t connected = after(times->connected_us, start);
    int64_t done = after(times->done_us, connected);
    struct slice original = rcpt->rcpt.original;
    bool has_original = original.len > 0 &&
        !slice_eq(original, rcpt->rcpt.address);
    struct slice relay = r->relay.len > 0 ? r->relay : SLICE_LIT("none");

    log_write(LOG_LEVEL_INFO, tag,
        "%s: to=<" SLICE_FMT ">, %s" SLICE_FMT "%srelay=" SLICE_FMT
        ", delay=%s, delays=%s/%s/%s/%s, dsn=%s, status=%s (" SLICE_FMT ")",
        queue_id_text(d->attempt.id, long_ids, id),
        SLICE_ARG(rcpt->rcpt.address), has_original ? "orig_to=<" : "",
        SLICE_ARG((has_original ? original : SLICE_LIT(""))),
        has_original ? ">, " : "", SLICE_ARG(relay),
        delivery_delay_text(done - arrival, total),
        delivery_delay_text(active - arrival, a),
        delivery_delay_text(start - active, b),
        delivery_delay_text(connected - start, c),
        delivery_delay_text(done - connected, e), r->status, outcome_word(d, r),
        SLICE_ARG(r->text));
}
