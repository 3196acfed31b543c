#include "lib/mail/delivery_log.h"

#include "lib/base/log.h"
#include "lib/config/config.h"
#include "lib/mail/address.h"
#include "lib/mail/queue_id.h"

#include <stdio.h>
#include <string.h>

enum { DELAY_DIGITS = 2 };

/* Digits behind the point, for DELAY_DIGITS that say something. */
static int
digits_behind_point(int64_t us, int most)
{
    int digits = DELAY_DIGITS;

    if (us >= 1000000)
        digits = us >= 10000000 ? 0 : 1;
    else
        for (int64_t step = 100000; us < step && digits < most; step /= 10)
            digits++;
    return digits < most ? digits : most;
}

const char *
delivery_delay_text(int64_t us, int64_t resolution, char text[DELAY_TEXT_SIZE])
{
    double s = us < 0 ? 0 : (double)us / 1e6;
    int digits = digits_behind_point(us, (int)resolution);
    char *end;

    (void)snprintf(text, DELAY_TEXT_SIZE, "%.*f", digits, s);
    if (digits > 0) {
        for (end = text + strlen(text); end[-1] == '0'; end--)
            ;
        if (end[-1] == '.')
            end--;
        *end = '\0';
    }
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
delivery_log(const char *tag, const struct config *config,
    const struct delivery *d, const struct delivery_recipient *rcpt,
    const struct rcpt_result *r, const struct delivery_times *times)
{
    char id[QUEUE_ID_SIZE], total[DELAY_TEXT_SIZE], a[DELAY_TEXT_SIZE],
        b[DELAY_TEXT_SIZE], c[DELAY_TEXT_SIZE], e[DELAY_TEXT_SIZE];
    int64_t resolution = config->delay_logging_resolution_limit;
    int64_t arrival = d->envelope.arrival_us;
    int64_t active = after(d->active_us, arrival);
    int64_t start = after(times->start_us, active);
    int64_t connected = after(times->connected_us, start);
    int64_t done = after(times->done_us, connected);
    struct slice original = rcpt->rcpt.original;
    bool has_original = original.len > 0 &&
        !slice_eq(original, rcpt->rcpt.address);
    struct buf held_to = { 0 }, held_original = { 0 };
    struct slice to = address_for_log(config, rcpt->rcpt.address, &held_to);
    struct slice relay = r->relay.len > 0 ? r->relay : SLICE_LIT("none");

    original = address_for_log(config, original, &held_original);
    log_write(LOG_LEVEL_INFO, tag,
        "%s: to=<" SLICE_FMT ">, %s" SLICE_FMT "%srelay=" SLICE_FMT
        ", delay=%s, delays=%s/%s/%s/%s, dsn=%s, status=%s (" SLICE_FMT ")",
        queue_id_text(d->attempt.id, config->enable_long_queue_ids, id),
        SLICE_ARG(to), has_original ? "orig_to=<" : "",
        SLICE_ARG((has_original ? original : SLICE_LIT(""))),
        has_original ? ">, " : "", SLICE_ARG(relay),
        delivery_delay_text(done - arrival, resolution, total),
        delivery_delay_text(active - arrival, resolution, a),
        delivery_delay_text(start - active, resolution, b),
        delivery_delay_text(connected - start, resolution, c),
        delivery_delay_text(done - connected, resolution, e), r->status,
        outcome_word(d, r), SLICE_ARG(r->text));
    buf_fini(&held_to);
    buf_fini(&held_original);
}
