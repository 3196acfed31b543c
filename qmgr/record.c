#include "qmgr/record.h"

#include "lib/base/fields.h"
#include "lib/base/tlv.h"

enum { RESULT_MAX = 64 * 1024 };

/* In microseconds it is a number still, and a lifetime can be added. */
#define TIME_MS_MAX (INT64_MAX / 1000)

#define OF(name)    offsetof(struct message_record, name)
static const struct field message_fields[] = {
    { 1, FIELD_SLICE, OF(envelope), UINT32_MAX },
    { 2, FIELD_U32, OF(header_length), INT32_MAX },
    { 3, FIELD_U32, OF(body_at), INT32_MAX },
    { 4, FIELD_U32, OF(body_length), INT32_MAX },
    { 5, FIELD_U64, OF(blob), UINT64_MAX },
    { 6, FIELD_U64, OF(blob_length), INT64_MAX },
    { 7, FIELD_U32, OF(blob_crc), UINT32_MAX },
    { 0 },
};
#undef OF

void
message_record_encode(const struct message_record *r, struct buf *to)
{
    fields_encode(message_fields, r, to);
}

enum result
message_record_decode(struct slice head, struct message_record *r,
    struct why *why)
{
    struct message_record read = { 0 };

    if (!fields_decode(message_fields, head, &read) || read.envelope.len == 0)
        return why_perm(why, "5.3.0", "malformed message record");
    *r = read;
    return RESULT_OK;
}

bool
message_record_content(const struct message_record *r, struct slice content,
    struct slice *header, struct slice *body)
{
    uint64_t end = (uint64_t)r->body_at + r->body_length;

    if (r->header_length > content.len || end > content.len ||
        (r->body_length > 0 && r->body_at < r->header_length))
        return false;
    *header = slice_head(content, r->header_length);
    *body = slice_head(slice_skip(content, r->body_at), r->body_length);
    return true;
}

#define OF(name) offsetof(struct message_brief, name)
static const struct field message_brief_fields[] = {
    { 1, FIELD_I64, OF(arrival_ms), TIME_MS_MAX },
    { 2, FIELD_U32, OF(recipients), RECORD_RECIPIENTS_MAX },
    { 3, FIELD_U32, OF(flags), UINT32_MAX },
    { 4, FIELD_U32, OF(site), UINT32_MAX },
    { 5, FIELD_SLICE, OF(drop_file), DROP_FILE_MAX },
    { 0 },
};
#undef OF

void
message_brief_encode(const struct message_brief *b, struct buf *to)
{
    fields_encode(message_brief_fields, b, to);
}

enum result
message_brief_decode(struct slice in, struct message_brief *b, struct why *why)
{
    struct message_brief read = { 0 };

    if (!fields_decode(message_brief_fields, in, &read) || read.recipients == 0)
        return why_perm(why, "5.3.0", "malformed message brief");
    *b = read;
    return RESULT_OK;
}

#define OF(name) offsetof(struct status_brief, name)
static const struct field status_fields[] = {
    { 1, FIELD_U32, OF(version), UINT32_MAX },
    { 2, FIELD_I64, OF(next_try_ms), TIME_MS_MAX },
    { 3, FIELD_U32, OF(attempts), UINT32_MAX },
    { 4, FIELD_U32, OF(deaths), UINT32_MAX },
    { 10, FIELD_U32, OF(kills), UINT32_MAX },
    { 5, FIELD_U32, OF(flags), UINT32_MAX },
    { 8, FIELD_U32, OF(unsettled), RECORD_RECIPIENTS_MAX },
    { 9, FIELD_U32, OF(lane), UINT32_MAX },
    { 0 },
};
#undef OF

enum { TAG_SETTLED = 6, TAG_GROUP = 7, TAG_RESULT = 1, TAG_SET = 2 };

void
status_brief_encode(const struct status_brief *b, struct buf *to)
{
    fields_encode(status_fields, b, to);
}

enum result
status_brief_decode(struct slice in, struct status_brief *b, struct why *why)
{
    struct status_brief read = { 0 };

    if (!fields_decode(status_fields, in, &read))
        return why_perm(why, "5.3.0", "malformed status brief");
    *b = read;
    return RESULT_OK;
}

void
status_put_settled(struct slice set, struct buf *to)
{
    tlv_put(to, TAG_SETTLED, set);
}

void
status_put_group(const struct rcpt_result *result, struct slice set,
    struct buf *to)
{
    struct buf one;

    buf_init(&one, RESULT_MAX + set.len);
    rcpt_result_encode(result, TAG_RESULT, &one);
    tlv_put(&one, TAG_SET, set);
    tlv_put(to, TAG_GROUP, buf_slice(&one));
    buf_fini(&one);
}

static bool
set_is_good(struct slice set)
{
    uint32_t at = 0, start, count;

    while (set_next(&set, &at, &start, &count))
        ;
    return set.len == 0;
}

static bool
group_take(struct slice in, struct rcpt_result *result, struct slice *set)
{
    struct why why;
    struct tlv t;

    *result = (struct rcpt_result){ 0 };
    *set = (struct slice){ "", 0 };
    while (tlv_next(&in, &t)) {
        if (t.tag == TAG_RESULT &&
            rcpt_result_decode(t.value, result, &why) != RESULT_OK)
            return false;
        if (t.tag == TAG_SET)
            *set = t.value;
    }
    return in.len == 0 && result->outcome != 0 && set_is_good(*set);
}

enum result
status_settled(struct slice head, struct slice *settled, struct why *why)
{
    struct slice read = { "", 0 }, set;
    struct rcpt_result result;
    struct tlv t;

    while (tlv_next(&head, &t)) {
        if (t.tag == TAG_SETTLED)
            read = t.value;
        if (t.tag == TAG_GROUP && !group_take(t.value, &result, &set))
            return why_perm(why, "5.3.0", "malformed status record");
    }
    if (head.len > 0 || !set_is_good(read))
        return why_perm(why, "5.3.0", "malformed status record");
    *settled = read;
    return RESULT_OK;
}

bool
status_next_group(struct slice *rest, struct rcpt_result *result,
    struct slice *set)
{
    struct slice before = *rest;
    struct tlv t;

    while (tlv_next(rest, &t)) {
        if (t.tag == TAG_GROUP) {
            if (group_take(t.value, result, set))
                return true;
            *rest = before;
            return false;
        }
        before = *rest;
    }
    return false;
}

static void
put_varint(struct buf *to, uint32_t n)
{
    for (; n >= 0x80; n >>= 7)
        buf_add_octet(to, (unsigned char)(n | 0x80));
    buf_add_octet(to, (unsigned char)n);
}

static bool
take_varint(struct slice *in, uint32_t *n)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 5 && i < in->len; i++) {
        unsigned char c = (unsigned char)in->ptr[i];

        value |= (uint64_t)(c & 0x7f) << (7 * i);
        if (c < 0x80) {
            if (value > RECORD_RECIPIENTS_MAX)
                return false;
            *n = (uint32_t)value;
            *in = slice_skip(*in, i + 1);
            return true;
        }
    }
    return false;
}

void
set_begin(struct set_writer *w, struct buf *to)
{
    *w = (struct set_writer){ .to = to };
}

void
set_add(struct set_writer *w, uint32_t index)
{
    if (w->count > 0 && index == w->start + w->count) {
        w->count++;
        return;
    }
    set_end(w);
    w->start = index;
    w->count = 1;
}

void
set_end(struct set_writer *w)
{
    if (w->count == 0)
        return;
    put_varint(w->to, w->start - w->at);
    put_varint(w->to, w->count);
    w->at = w->start + w->count;
    w->count = 0;
}

bool
set_next(struct slice *set, uint32_t *at, uint32_t *start, uint32_t *count)
{
    struct slice rest = *set;
    uint32_t gap, run;

    if (rest.len == 0 || !take_varint(&rest, &gap) ||
        !take_varint(&rest, &run) || run == 0 ||
        *at + gap + run > RECORD_RECIPIENTS_MAX)
        return false;
    *start = *at + gap;
    *count = run;
    *at = *start + run;
    *set = rest;
    return true;
}

void
meta_record_encode(uint64_t mark, struct buf *to)
{
    tlv_put_u64(to, 1, mark);
}

bool
meta_record_decode(struct slice in, uint64_t *mark)
{
    uint64_t read = 0;
    bool seen = false;
    struct tlv t;

    while (tlv_next(&in, &t)) {
        if (t.tag == 1) {
            if (!tlv_u64(t.value, UINT64_MAX, &read))
                return false;
            seen = true;
        }
    }
    if (in.len > 0 || !seen)
        return false;
    *mark = read;
    return true;
}

enum { ADOPTED_SPOOL = 2, ADOPTED_IDS = 3, ADOPTED_COMPLETE = 4 };

void
adopted_record_encode(const struct adopted_record *r, struct buf *to)
{
    tlv_put(to, ADOPTED_SPOOL, r->spool);
    tlv_put(to, ADOPTED_IDS, r->ids);
    if (r->complete)
        tlv_put_u64(to, ADOPTED_COMPLETE, 1);
}

static bool
is_spool_id(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (slice_find(SLICE_LIT("0123456789abcdef"), text.ptr[i]) == 16)
            return false;
    return text.len == 32;
}

bool
adopted_record_decode(struct slice in, struct adopted_record *r)
{
    uint64_t complete = 0;
    struct tlv t;

    *r = (struct adopted_record){ 0 };
    while (tlv_next(&in, &t)) {
        if (t.tag == ADOPTED_SPOOL)
            r->spool = t.value;
        else if (t.tag == ADOPTED_IDS)
            r->ids = t.value;
        else if (t.tag == ADOPTED_COMPLETE && !tlv_u64(t.value, 1, &complete))
            return false;
    }
    r->complete = complete == 1;
    return in.len == 0 && is_spool_id(r->spool) && r->ids.len % 8 == 0;
}

void
adopted_record_add(struct buf *ids, uint64_t id)
{
    char octets[8];

    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (char)(id >> 8 * i & 0xff);
    buf_add(ids, (struct slice){ octets, sizeof(octets) });
}

bool
adopted_record_next(struct slice *ids, uint64_t *id)
{
    uint64_t n = 0;

    if (ids->len < 8)
        return false;
    for (size_t i = 0; i < 8; i++)
        n |= (uint64_t)(unsigned char)ids->ptr[i] << 8 * i;
    *ids = slice_skip(*ids, 8);
    *id = n;
    return true;
}
