#include "lib/mail/verify_sender.h"

#include "lib/base/buf.h"
#include "lib/mail/address.h"
#include "lib/mail/rewrite.h"

enum { SENDER_MAX = 4096, DIGITS_MAX = 16 };

/* Without vowels: no words come out. */
static const char digits[] = "0123456789bcdfghjklmnpqrstvwxyz";
enum { BASE = sizeof(digits) - 1 };

static int64_t
period_of(const struct config *config, int64_t now_s)
{
    int64_t ttl_s = config->address_verify_sender_ttl / 1000;

    return ttl_s > 0 ? now_s / ttl_s : 0;
}

static enum result
plain_sender(const struct config *config, const struct config *rewrite,
    struct arena *arena, struct slice *address, struct why *why)
{
    struct slice given = slice_of(config->address_verify_sender);

    if (slice_eq_text(given, "<>"))
        given = SLICE_LIT("");
    return rewrite_address(rewrite, REWRITE_LOCAL, given, arena, address, why);
}

static void
add_number(int64_t n, struct buf *to)
{
    char text[DIGITS_MAX];
    size_t at = sizeof(text);

    do
        text[--at] = digits[n % BASE];
    while ((n /= BASE) > 0 && at > 0);
    buf_add(to, (struct slice){ text + at, sizeof(text) - at });
}

/* plain with the number of a period behind its local part. */
static bool
add_period(struct slice plain, int64_t period, struct arena *arena,
    struct slice *address)
{
    struct slice local, domain;
    struct buf b;
    bool ok;

    buf_init(&b, SENDER_MAX);
    if (address_split(plain, &local, &domain)) {
        buf_add(&b, local);
        add_number(period, &b);
        buf_add_octet(&b, '@');
        buf_add(&b, domain);
    } else {
        buf_add(&b, plain);
        add_number(period, &b);
    }
    ok = !buf_failed(&b) && arena_slice(arena, buf_slice(&b), address);
    buf_fini(&b);
    return ok;
}

enum result
verify_sender_make(const struct config *config, const struct config *rewrite,
    int64_t now_s, struct arena *arena, struct slice *address, struct why *why)
{
    struct slice plain;
    enum result res = plain_sender(config, rewrite, arena, &plain, why);

    if (res != RESULT_OK)
        return res;
    *address = plain;
    if (plain.len == 0 || config->address_verify_sender_ttl <= 0 ||
        add_period(plain, period_of(config, now_s), arena, address))
        return RESULT_OK;
    return why_temp(why, "4.3.1", "no memory for the sender of a probe");
}

bool
verify_sender_is(const struct config *config, const struct config *rewrite,
    struct slice address, int64_t now_s, struct arena *arena,
    struct slice *plain)
{
    struct slice sender = slice_of(config->address_verify_sender);
    struct slice of_period;
    struct why why;

    /* Each recipient of each message is asked about: most are not like it. */
    if (address.len == 0 || sender.len == 0 ||
        !slice_starts_nocase(address,
            slice_head(sender, slice_find(sender, '@'))) ||
        plain_sender(config, rewrite, arena, plain, &why) != RESULT_OK ||
        plain->len == 0)
        return false;
    if (slice_eq_nocase(address, *plain))
        return true;
    if (config->address_verify_sender_ttl <= 0)
        return false;
    for (int64_t period = period_of(config, now_s) - 1;
         period <= period_of(config, now_s) + 1; period++)
        if (period >= 0 && add_period(*plain, period, arena, &of_period) &&
            slice_eq_nocase(address, of_period))
            return true;
    return false;
}
