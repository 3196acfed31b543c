#include "lib/base/fields.h"
#include "lib/mail/queue_control.h"

enum {
    TEXT_MAX = 4096,
    TAG_RECIPIENT = ATTR_PRIVATE,
    TAG_HEALTH,
    TAG_HOLD,
    TAG_WINDOW_LIMIT,
    TAG_RUNNING,
    TAG_IDLE,
    TAG_MESSAGES,
    TAG_RECIPIENTS,
    TAG_DEFERRED,
    TAG_RATE_DELAY,
    TAG_NEXT_TRY,
    TAG_NEXT_DUE,
    TAG_FAILURES,
    TAG_ROUTE,
};

struct coded {
    struct queue_destination d;
    uint32_t is_route;
};

#define OF(name) offsetof(struct coded, d.name)
static const struct field fields[] = {
    { ATTR_TRANSPORT, FIELD_SLICE, OF(transport), TEXT_MAX },
    { ATTR_NEXTHOP, FIELD_SLICE, OF(nexthop), TEXT_MAX },
    { TAG_RECIPIENT, FIELD_SLICE, OF(recipient), TEXT_MAX },
    { TAG_HEALTH, FIELD_SLICE, OF(health), TEXT_MAX },
    { TAG_HOLD, FIELD_SLICE, OF(hold), TEXT_MAX },
    { ATTR_LIMIT, FIELD_U64, OF(window), UINT64_MAX },
    { TAG_WINDOW_LIMIT, FIELD_U64, OF(window_limit), UINT64_MAX },
    { TAG_RUNNING, FIELD_U64, OF(running), UINT64_MAX },
    { TAG_IDLE, FIELD_U64, OF(idle_sessions), UINT64_MAX },
    { TAG_MESSAGES, FIELD_U64, OF(waiting_messages), UINT64_MAX },
    { TAG_RECIPIENTS, FIELD_U64, OF(waiting_recipients), UINT64_MAX },
    { TAG_DEFERRED, FIELD_U64, OF(deferred), UINT64_MAX },
    { TAG_RATE_DELAY, FIELD_I64, OF(rate_delay_ms), INT64_MAX },
    { TAG_NEXT_TRY, FIELD_I64, OF(next_try_ms), INT64_MAX },
    { TAG_NEXT_DUE, FIELD_I64, OF(next_due_ms), INT64_MAX },
    { TAG_FAILURES, FIELD_U64, OF(failures), UINT64_MAX },
    { ATTR_STATUS, FIELD_SLICE, OF(status), TEXT_MAX },
    { ATTR_REASON, FIELD_SLICE, OF(reason), TEXT_MAX },
    { TAG_ROUTE, FIELD_U32, offsetof(struct coded, is_route), 1 },
    { 0 },
};
#undef OF

void
queue_destination_encode(const struct queue_destination *d, struct msg *m)
{
    struct coded c = { .d = *d, .is_route = d->is_route };

    msg_init(m, MESSAGE_QUEUE_ITEM);
    fields_encode(fields, &c, &m->body);
}

bool
queue_destination_decode(struct slice in, struct queue_destination *d)
{
    struct coded c = { 0 };

    if (!fields_decode(fields, in, &c))
        return false;
    *d = c.d;
    d->is_route = c.is_route != 0;
    return true;
}
