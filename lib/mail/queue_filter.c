#include "lib/mail/queue_filter.h"

#include "lib/base/glob.h"
#include "lib/config/config.h"
#include "lib/ipc/protocol.h"
#include "lib/mail/queue_control.h"

enum {
    TAG_DOMAIN = ATTR_PRIVATE + 8,
    TAG_BEFORE,
    TAG_AFTER,
    US_PER_MS = 1000,
};

#define OF(name) offsetof(struct queue_filter, name)
const struct field queue_filter_fields[] = {
    { ATTR_SENDER, FIELD_SLICE, OF(sender), QUEUE_FILTER_TEXT_MAX },
    { ATTR_ADDRESS, FIELD_SLICE, OF(recipient), QUEUE_FILTER_TEXT_MAX },
    { TAG_DOMAIN, FIELD_SLICE, OF(domain), QUEUE_FILTER_TEXT_MAX },
    { ATTR_REASON, FIELD_SLICE, OF(reason), QUEUE_FILTER_TEXT_MAX },
    { TAG_BEFORE, FIELD_I64, OF(before_us), INT64_MAX },
    { TAG_AFTER, FIELD_I64, OF(after_us), INT64_MAX },
    { 0 },
};
#undef OF

bool
queue_filter_is_empty(const struct queue_filter *f)
{
    return f->sender.len == 0 && f->recipient.len == 0 && f->domain.len == 0 &&
        f->reason.len == 0 && f->before_us == 0 && f->after_us == 0;
}

bool
queue_filter_age_matches(const struct queue_filter *f, int64_t arrival_us)
{
    return (f->before_us == 0 || arrival_us < f->before_us) &&
        (f->after_us == 0 || arrival_us > f->after_us);
}

struct slice
queue_address_domain(struct slice address)
{
    return slice_skip(address, slice_rfind(address, '@') + 1);
}

static bool
sender_matches(struct slice pattern, struct slice sender)
{
    if (pattern.len == 0)
        return true;
    if (slice_eq_text(pattern, "<>"))
        return sender.len == 0;
    return glob_match(pattern,
        sender.len > 0 ? sender : SLICE_LIT("MAILER-DAEMON"));
}

static bool
text_matches(struct slice pattern, struct slice text)
{
    return pattern.len == 0 || glob_match(pattern, text);
}

static bool
recipient_matches(const struct queue_filter *f, const struct queue_recipient *r)
{
    return text_matches(f->recipient, r->address) &&
        text_matches(f->domain, queue_address_domain(r->address)) &&
        text_matches(f->reason, r->reason);
}

bool
queue_filter_matches(const struct queue_filter *f,
    const struct queue_item *item)
{
    if (!queue_filter_age_matches(f, item->arrival_us) ||
        !sender_matches(f->sender, item->sender))
        return false;
    if (f->recipient.len == 0 && f->domain.len == 0 && f->reason.len == 0)
        return true;
    for (size_t i = 0; i < item->recipient_count; i++)
        if (recipient_matches(f, &item->recipients[i]))
            return true;
    return false;
}

static enum result
set_age(int64_t *at_us, const char *text, int64_t now_us, struct why *why)
{
    int64_t ms;

    if (!config_parse_time(slice_of(text), 's', &ms) || ms < 0 ||
        ms >= now_us / US_PER_MS)
        return why_perm(why, "5.5.4", "malformed age: %s", text);
    *at_us = now_us - ms * US_PER_MS;
    return RESULT_OK;
}

enum result
queue_filter_set(struct queue_filter *f, int option, const char *text,
    int64_t now_us, struct why *why)
{
    struct slice *const texts[] = {
        [0] = &f->sender, /* QUEUE_FILTER_SENDER is the first */
        [QUEUE_FILTER_RECIPIENT - QUEUE_FILTER_SENDER] = &f->recipient,
        [QUEUE_FILTER_DOMAIN - QUEUE_FILTER_SENDER] = &f->domain,
        [QUEUE_FILTER_REASON - QUEUE_FILTER_SENDER] = &f->reason,
    };

    if (text[0] == '\0')
        return why_perm(why, "5.5.4", "a filter without a value");
    if (strlen(text) > QUEUE_FILTER_TEXT_MAX)
        return why_perm(why, "5.5.4", "a filter's value is too long");
    if (option == QUEUE_FILTER_OLDER)
        return set_age(&f->before_us, text, now_us, why);
    if (option == QUEUE_FILTER_NEWER)
        return set_age(&f->after_us, text, now_us, why);
    *texts[option - QUEUE_FILTER_SENDER] = slice_of(text);
    return RESULT_OK;
}
