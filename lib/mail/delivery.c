#include "lib/mail/delivery.h"

#include "lib/base/fields.h"

enum {
    TEXT_MAX = 4096,
    RESULTS_MAX = 1 << 20,
    ENVELOPE_MAX = MESSAGE_ENVELOPE,
};

/* On disk (STATUS records): never renumbered. */
enum { TAG_NUMBER = 1, TAG_ID = 2, TAG_NONCE = 3 };

static const struct field attempt_fields[] = {
    { TAG_NUMBER, FIELD_U32, offsetof(struct attempt, number), UINT32_MAX },
    { TAG_ID, FIELD_U64, offsetof(struct attempt, id), UINT64_MAX },
    { TAG_NONCE, FIELD_U64, offsetof(struct attempt, nonce), UINT64_MAX },
    { 0 },
};

void
attempt_encode(const struct attempt *a, uint32_t tag, struct buf *to)
{
    struct buf one;

    buf_init(&one, 64);
    fields_encode(attempt_fields, a, &one);
    tlv_put(to, tag, buf_slice(&one));
    buf_fini(&one);
}

enum result
attempt_decode(struct slice value, struct attempt *a, struct why *why)
{
    struct attempt read = { 0 };

    if (!fields_decode(attempt_fields, value, &read) || read.id == 0)
        return why_perm(why, "5.3.0", "malformed attempt token");
    *a = read;
    return RESULT_OK;
}

#define OF(name) offsetof(struct rcpt_result, name)
static const struct field result_fields[] = {
    { 1, FIELD_U32, OF(index), UINT32_MAX },
    { 2, FIELD_U32, OF(outcome), OUTCOME_RETURNED },
    { 3, FIELD_TEXT, OF(status), sizeof(((struct rcpt_result *)0)->status) },
    { 4, FIELD_SLICE, OF(text), TEXT_MAX },
    { 5, FIELD_SLICE, OF(relay), TEXT_MAX },
    { 6, FIELD_SLICE, OF(remote), TEXT_MAX },
    { 7, FIELD_SLICE, OF(diagnostic), TEXT_MAX },
    { 8, FIELD_SLICE, OF(diagnostic_type), 64 },
    { 9, FIELD_SLICE, OF(final_address), TEXT_MAX },
    { 10, FIELD_I64, OF(when_us), INT64_MAX },
    { 11, FIELD_U32, OF(action), DSN_EXPANDED },
    { 12, FIELD_U32, OF(next_hop_tells), 1 },
    { 0 },
};
#undef OF

void
rcpt_result_encode(const struct rcpt_result *r, uint32_t tag, struct buf *to)
{
    struct buf one;

    buf_init(&one, 8 * TEXT_MAX);
    fields_encode(result_fields, r, &one);
    tlv_put(to, tag, buf_slice(&one));
    buf_fini(&one);
}

enum result
rcpt_result_decode(struct slice value, struct rcpt_result *r, struct why *why)
{
    struct rcpt_result read = { 0 };

    if (!fields_decode(result_fields, value, &read) || read.outcome == 0)
        return why_perm(why, "5.3.0", "malformed recipient result");
    *r = read;
    return RESULT_OK;
}

void
rcpt_result_soften(struct rcpt_result *r)
{
    if (r->outcome != OUTCOME_BOUNCED)
        return;
    r->outcome = OUTCOME_DEFERRED;
    r->softened = true;
    if (r->status[0] == '5')
        r->status[0] = '4';
}

enum result
rcpt_results_room(struct slice in, size_t most, struct arena *arena,
    struct rcpt_result **results, struct why *why)
{
    size_t count = tlv_count(in, ATTR_RCPT_RESULT);

    if (count > most)
        return why_perm(why, "5.3.0", "too many results");
    *results = arena_alloc(arena, (count + 1) * sizeof(**results));
    if (*results == NULL)
        return why_temp(why, "4.3.1", "no memory for results");
    return RESULT_OK;
}

enum { TAG_RECIPIENT = ATTR_PRIVATE, TAG_ACTIVE, TAG_MAY_RETURN };

static const struct field delivery_fields[] = {
    { ATTR_TRANSPORT, FIELD_SLICE, offsetof(struct delivery, transport), 256 },
    { ATTR_NEXTHOP, FIELD_SLICE, offsetof(struct delivery, nexthop), TEXT_MAX },
    { ATTR_HEADER, FIELD_SLICE, offsetof(struct delivery, header),
        ENVELOPE_MAX },
    { ATTR_BODY, FIELD_SLICE, offsetof(struct delivery, body), ENVELOPE_MAX },
    { ATTR_LENGTH, FIELD_U64, offsetof(struct delivery, body_length),
        INT64_MAX },
    { ATTR_CRC, FIELD_U32, offsetof(struct delivery, body_crc), UINT32_MAX },
    { ATTR_PROOF, FIELD_U64, offsetof(struct delivery, proof), UINT64_MAX },
    { TAG_ACTIVE, FIELD_I64, offsetof(struct delivery, active_us), INT64_MAX },
    { TAG_MAY_RETURN, FIELD_U32, offsetof(struct delivery, may_return), 1 },
    { 0 },
};

/* A recipient on the way to an agent: its index, then the rest. */
static void
put_recipient(const struct delivery_recipient *r, struct buf *to)
{
    struct buf one;

    buf_init(&one, 4 * TEXT_MAX);
    tlv_put_u64(&one, ATTR_INDEX, r->index);
    recipient_put(&r->rcpt, ATTR_ADDRESS, &one);
    tlv_put(to, TAG_RECIPIENT, buf_slice(&one));
    buf_fini(&one);
}

static bool
take_recipient(struct slice in, struct delivery_recipient *r)
{
    uint64_t index = 0;
    bool good = true;
    struct tlv t;

    while (good && tlv_next(&in, &t)) {
        if (t.tag == ATTR_INDEX)
            good = tlv_u64(t.value, UINT32_MAX, &index);
        else if (t.tag == ATTR_ADDRESS)
            good = recipient_take(t.value, &r->rcpt);
    }
    r->index = (uint32_t)index;
    return good && in.len == 0;
}

void
delivery_encode(struct delivery *d, struct msg *m)
{
    msg_init(m, MESSAGE_DELIVER);
    attempt_encode(&d->attempt, ATTR_TOKEN, &m->body);
    envelope_put(&d->envelope, ATTR_ENVELOPE, &m->body);
    fields_encode(delivery_fields, d, &m->body);
    for (size_t i = 0; i < d->recipient_count; i++)
        put_recipient(&d->recipients[i], &m->body);
    if (d->fd >= 0)
        msg_put_fd(m, d->fd);
    d->fd = -1;
}

static enum result
take_delivery_attribute(const struct tlv *t, struct arena *arena,
    struct delivery *d, struct why *why)
{
    switch (t->tag) {
    case ATTR_TOKEN:
        return attempt_decode(t->value, &d->attempt, why);
    case ATTR_ENVELOPE:
        return envelope_decode(t->value, arena, &d->envelope, why);
    case TAG_RECIPIENT:
        if (!take_recipient(t->value, &d->recipients[d->recipient_count++]))
            return why_perm(why, "5.3.0", "malformed recipient");
        return RESULT_OK;
    default:
        if (fields_take(delivery_fields, t, d) == FIELD_BAD)
            return why_perm(why, "5.3.0", "malformed delivery attribute");
        return RESULT_OK;
    }
}

enum result
delivery_decode(struct msg_in *in, struct arena *arena, struct delivery *d,
    struct why *why)
{
    struct slice rest = in->body;
    struct delivery read = { .fd = -1 };
    size_t count = tlv_count(rest, TAG_RECIPIENT);
    enum result res;
    struct tlv t;

    if (count == 0 || count > RESULTS_MAX)
        return why_perm(why, "5.3.0", "delivery without recipients");
    read.recipients = arena_alloc(arena, count * sizeof(*read.recipients));
    if (read.recipients == NULL)
        return why_temp(why, "4.3.1", "no memory for recipients");
    while (tlv_next(&rest, &t)) {
        res = take_delivery_attribute(&t, arena, &read, why);
        if (res != RESULT_OK)
            return res;
    }
    if (rest.len > 0 || read.attempt.id == 0 || read.transport.len == 0)
        return why_perm(why, "5.3.0", "malformed delivery");
    if (in->fd_count > 0)
        read.fd = msg_in_take_fd(in, 0);
    *d = read;
    return RESULT_OK;
}

#define OF(name) offsetof(struct delivery_answer, name)
static const struct field answer_fields[] = {
    { ATTR_KIND, FIELD_U32, OF(destination), DESTINATION_BUSY },
    { ATTR_STATUS, FIELD_TEXT, OF(destination_status),
        sizeof(((struct delivery_answer *)0)->destination_status) },
    { ATTR_REASON, FIELD_SLICE, OF(destination_text), TEXT_MAX },
    { ATTR_COUNT, FIELD_U32, OF(idle_sessions), UINT32_MAX },
    { 0 },
};
#undef OF

void
delivery_answer_encode(const struct delivery_answer *a, struct msg *m)
{
    msg_init(m, MESSAGE_DELIVERED);
    attempt_encode(&a->attempt, ATTR_TOKEN, &m->body);
    fields_encode(answer_fields, a, &m->body);
    for (size_t i = 0; i < a->count; i++)
        rcpt_result_encode(&a->results[i], ATTR_RCPT_RESULT, &m->body);
}

enum result
delivery_answer_decode(struct slice in, struct arena *arena,
    struct delivery_answer *a, struct why *why)
{
    struct delivery_answer read = { 0 };
    struct rcpt_result *results;
    enum result res = rcpt_results_room(in, RESULTS_MAX, arena, &results, why);
    struct tlv t;

    while (res == RESULT_OK && tlv_next(&in, &t)) {
        if (t.tag == ATTR_TOKEN)
            res = attempt_decode(t.value, &read.attempt, why);
        else if (t.tag == ATTR_RCPT_RESULT)
            res = rcpt_result_decode(t.value, &results[read.count++], why);
        else if (fields_take(answer_fields, &t, &read) == FIELD_BAD)
            res = why_perm(why, "5.3.0", "malformed answer");
    }
    if (res != RESULT_OK)
        return res;
    if (in.len > 0 || read.attempt.id == 0)
        return why_perm(why, "5.3.0", "malformed answer");
    read.results = results;
    *a = read;
    return RESULT_OK;
}
