#include "lookup/verify_book.h"

#include "lib/base/num.h"
#include "lib/base/printable.h"
#include "lib/table/memo.h"

enum { PROBE_S = 1000 };

static const struct slice in_progress = { "Address verification in progress",
    sizeof("Address verification in progress") - 1 };

void
verify_rules_read(struct verify_rules *rules, const struct config *config)
{
    *rules = (struct verify_rules){
        .positive_expire_s = config->address_verify_positive_expire_time / 1000,
        .positive_refresh_s = config->address_verify_positive_refresh_time /
            1000,
        .negative_expire_s = config->address_verify_negative_expire_time / 1000,
        .negative_refresh_s = config->address_verify_negative_refresh_time /
            1000,
        .keeps_negative = config->address_verify_negative_cache,
    };
}

struct slice
verify_key(struct slice address, struct buf *b)
{
    buf_clear(b);
    for (size_t i = 0; i < address.len; i++) {
        char c = address.ptr[i];

        buf_add_octet(b,
            (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c));
    }
    return buf_failed(b) || b->len > MEMO_KEY_MAX ? SLICE_LIT("")
                                                  : buf_slice(b);
}

struct known {
    enum verified code;
    int64_t probed_s, updated_s; /* 0: not */
    struct slice text;
};

/* Numbers of a file that may have been another's: none is added to unseen. */
static bool
take_number(struct slice *rest, uint64_t max, int64_t *n)
{
    size_t colon = slice_find(*rest, ':');
    uint64_t read;

    if (colon == rest->len ||
        !num_parse_u64(slice_head(*rest, colon), max, &read))
        return false;
    *rest = slice_skip(*rest, colon + 1);
    *n = (int64_t)read;
    return true;
}

static bool
parse(struct slice value, struct known *k)
{
    const uint64_t time_max = INT64_MAX / 2;
    int64_t code;

    if (!take_number(&value, VERIFIED_PENDING, &code) ||
        !take_number(&value, time_max, &k->probed_s) ||
        !take_number(&value, time_max, &k->updated_s))
        return false;
    k->code = (enum verified)code;
    k->text = value;
    return true;
}

static int64_t
expiry_s(const struct verify_rules *rules, const struct known *k)
{
    return k->updated_s +
        (k->code == VERIFIED_DELIVERABLE ? rules->positive_expire_s
                                         : rules->negative_expire_s);
}

static bool
is_probed(const struct known *k, int64_t now_s)
{
    return k->probed_s > 0 && now_s - k->probed_s <= PROBE_S;
}

/* Nothing, unless there is something that counts. */
static struct known
find(struct book *b, const struct verify_rules *rules, struct slice key,
    int64_t now_s)
{
    struct known none = { VERIFIED_PENDING, 0, 0, in_progress }, k;
    struct slice value;

    if (!book_find(b, key, now_s, &value) || !parse(value, &k) ||
        (!is_probed(&k, now_s) && expiry_s(rules, &k) <= now_s))
        return none;
    return k;
}

static void
keep(struct book *b, const struct verify_rules *rules, struct slice key,
    const struct known *k, int64_t now_s)
{
    int64_t end = expiry_s(rules, k);
    struct buf value;

    if (k->probed_s > 0 && k->probed_s + PROBE_S > end)
        end = k->probed_s + PROBE_S + 1;
    buf_init(&value, MEMO_VALUE_MAX);
    buf_add_format(&value, "%u:%lld:%lld:", (unsigned)k->code,
        (long long)k->probed_s, (long long)k->updated_s);
    printable_add(slice_head(k->text, VERIFY_TEXT_MAX), &value);
    if (!buf_failed(&value))
        book_keep(b, key, buf_slice(&value), end, now_s);
    buf_fini(&value);
}

static bool
is_old(const struct verify_rules *rules, const struct known *k, int64_t now_s)
{
    return k->updated_s +
        (k->code == VERIFIED_DELIVERABLE ? rules->positive_refresh_s
                                         : rules->negative_refresh_s) <
        now_s;
}

void
verify_book_ask(struct book *b, const struct verify_rules *rules,
    struct slice key, bool may_probe, int64_t now_s, struct verify_answer *a)
{
    struct known k = find(b, rules, key, now_s);

    *a = (struct verify_answer){ .verified = k.code, .text = k.text };
    if (!may_probe || is_probed(&k, now_s) || !is_old(rules, &k, now_s))
        return;
    k.probed_s = now_s;
    keep(b, rules, key, &k, now_s);
    /* The text was the record's, which is another one now. */
    k = find(b, rules, key, now_s);
    a->text = k.text;
    /* A full book takes nothing new: each question would be a probe. */
    a->probe_due = is_probed(&k, now_s);
}

void
verify_book_found(struct book *b, const struct verify_rules *rules,
    struct slice key, const struct verify_result *r, int64_t now_s)
{
    struct known old = find(b, rules, key, now_s);
    const struct known k = { (enum verified)r->verified, 0, now_s, r->text };

    if (k.code == VERIFIED_DELIVERABLE) {
        keep(b, rules, key, &k, now_s);
        return;
    }
    if (old.code == VERIFIED_DELIVERABLE && expiry_s(rules, &old) > now_s)
        return; /* and it is probed again when that was long enough ago */
    if (rules->keeps_negative)
        keep(b, rules, key, &k, now_s);
    else
        book_keep(b, key, SLICE_LIT(""), 0, now_s);
}

void
verify_book_lost(struct book *b, const struct verify_rules *rules,
    struct slice key, int64_t now_s)
{
    struct known k = find(b, rules, key, now_s);

    k.probed_s = 0;
    keep(b, rules, key, &k, now_s);
}
