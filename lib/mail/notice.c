#include "lib/mail/notice.h"

#include "lib/base/fields.h"

enum {
    TEXT_MAX = 4096,
    RECIPIENTS_MAX = 1 << 20,
    TAG_RECIPIENT = ATTR_PRIVATE,
    TAG_UNTIL,
    TAG_DAMAGED,
    /* inside TAG_RECIPIENT */
    TAG_STAYS = ATTR_PRIVATE,
};

#define OF(name) offsetof(struct notice, name)
static const struct field notice_fields[] = {
    { ATTR_KIND, FIELD_U32, OF(kind), NOTICE_REQUEUE },
    { ATTR_HEADER, FIELD_SLICE, OF(header), MESSAGE_ENVELOPE },
    { ATTR_BODY, FIELD_SLICE, OF(body), MESSAGE_ENVELOPE },
    { ATTR_LENGTH, FIELD_U64, OF(body_length), INT64_MAX },
    { ATTR_CRC, FIELD_U32, OF(body_crc), UINT32_MAX },
    { TAG_DAMAGED, FIELD_U32, OF(is_damaged), 1 },
    { TAG_UNTIL, FIELD_I64, OF(will_retry_until_us), INT64_MAX },
    { 0 },
};
#undef OF

static void
put_recipient(const struct notice_recipient *r, struct buf *to)
{
    struct buf one;

    buf_init(&one, 16 * TEXT_MAX);
    tlv_put_u64(&one, ATTR_INDEX, r->index);
    recipient_put(&r->rcpt, ATTR_ADDRESS, &one);
    rcpt_result_encode(&r->result, ATTR_RCPT_RESULT, &one);
    if (r->stays != 0)
        tlv_put_u64(&one, TAG_STAYS, 1);
    tlv_put(to, TAG_RECIPIENT, buf_slice(&one));
    buf_fini(&one);
}

void
notice_encode(struct notice *n, struct msg *m)
{
    msg_init(m, MESSAGE_NOTIFY);
    if (n->attempt.id != 0)
        attempt_encode(&n->attempt, ATTR_TOKEN, &m->body);
    envelope_put(&n->envelope, ATTR_ENVELOPE, &m->body);
    fields_encode(notice_fields, n, &m->body);
    for (size_t i = 0; i < n->recipient_count; i++)
        put_recipient(&n->recipients[i], &m->body);
    if (n->fd >= 0)
        msg_put_fd(m, n->fd);
    n->fd = -1;
}

static enum result
decode_recipient(struct slice in, struct notice_recipient *r, struct why *why)
{
    uint64_t index = 0, stays = 0;
    bool good = true;
    struct tlv t;

    while (good && tlv_next(&in, &t)) {
        if (t.tag == ATTR_INDEX)
            good = tlv_u64(t.value, UINT32_MAX, &index);
        else if (t.tag == TAG_STAYS)
            good = tlv_u64(t.value, 1, &stays);
        else if (t.tag == ATTR_ADDRESS)
            good = recipient_take(t.value, &r->rcpt);
        else if (t.tag == ATTR_RCPT_RESULT)
            good = rcpt_result_decode(t.value, &r->result, why) == RESULT_OK;
    }
    r->index = (uint32_t)index;
    r->stays = (uint32_t)stays;
    if (!good || in.len > 0)
        return why_perm(why, "5.3.0", "malformed recipient");
    return RESULT_OK;
}

static enum result
take_attribute(const struct tlv *t, struct arena *arena, struct notice *n,
    struct why *why)
{
    switch (t->tag) {
    case ATTR_TOKEN:
        return attempt_decode(t->value, &n->attempt, why);
    case ATTR_ENVELOPE:
        return envelope_decode(t->value, arena, &n->envelope, why);
    case TAG_RECIPIENT:
        return decode_recipient(t->value, &n->recipients[n->recipient_count++],
            why);
    default:
        if (fields_take(notice_fields, t, n) == FIELD_BAD)
            return why_perm(why, "5.3.0", "malformed notice");
        return RESULT_OK;
    }
}

enum result
notice_decode(struct msg_in *in, struct arena *arena, struct notice *n,
    struct why *why)
{
    struct slice rest = in->body;
    struct notice read = { .fd = -1 };
    enum result res;
    size_t count = tlv_count(rest, TAG_RECIPIENT);
    struct tlv t;

    if (count == 0 || count > RECIPIENTS_MAX)
        return why_perm(why, "5.3.0", "notice without recipients");
    read.recipients = arena_alloc(arena, count * sizeof(*read.recipients));
    if (read.recipients == NULL)
        return why_temp(why, "4.3.1", "no memory for recipients");
    while (tlv_next(&rest, &t)) {
        res = take_attribute(&t, arena, &read, why);
        if (res != RESULT_OK)
            return res;
    }
    if (rest.len > 0 || read.envelope.id == 0)
        return why_perm(why, "5.3.0", "malformed notice");
    if (in->fd_count > 0)
        read.fd = msg_in_take_fd(in, 0);
    *n = read;
    return RESULT_OK;
}
