#include "lib/mail/verification.h"

#include "lib/base/fields.h"
#include "lib/daemon/daemon.h"

#define OF(name) offsetof(struct verify_question, name)
static const struct field question_fields[] = {
    { ATTR_ADDRESS, FIELD_SLICE, OF(address), VERIFY_ADDRESS_MAX },
    { ATTR_FLAGS, FIELD_U32, OF(flags), VERIFY_ASK_PROBE },
    { ATTR_TIME, FIELD_U32, OF(wait_ms), VERIFY_WAIT_MAX_MS },
    { 0, FIELD_U32, 0, 0 },
};
#undef OF

#define OF(name) offsetof(struct verify_answer, name)
static const struct field answer_fields[] = {
    { ATTR_RESULT, FIELD_U32, OF(verified), VERIFIED_PENDING },
    { ATTR_FLAGS, FIELD_U32, OF(probe_due), 1 },
    { ATTR_TEXT, FIELD_SLICE, OF(text), VERIFY_TEXT_MAX },
    { 0, FIELD_U32, 0, 0 },
};
#undef OF

#define OF(name) offsetof(struct verify_result, name)
static const struct field result_fields[] = {
    { ATTR_ADDRESS, FIELD_SLICE, OF(address), VERIFY_ADDRESS_MAX },
    { ATTR_RESULT, FIELD_U32, OF(verified), VERIFIED_BOUNCED },
    { ATTR_TEXT, FIELD_SLICE, OF(text), VERIFY_TEXT_MAX },
    { 0, FIELD_U32, 0, 0 },
};
#undef OF

static bool
is_known(struct slice address)
{
    return address.len > 0 && address.len <= VERIFY_ADDRESS_MAX;
}

static bool
take_answer(struct msg_in *in, struct buf *text, struct verify_answer *a)
{
    bool ok;

    *a = (struct verify_answer){ .verified = VERIFIED_DELIVERABLE };
    ok = fields_decode(answer_fields, in->body, a);
    buf_add(text, a->text);
    a->text = buf_slice(text);
    msg_in_free(in);
    return ok && !buf_failed(text);
}

/* l NULL: any lookup. */
static bool
ask(struct link *l, const struct verify_question *q, int64_t deadline_ms,
    struct buf *text, struct verify_answer *a)
{
    enum link_status status;
    struct msg_in *in;
    struct msg m;

    *a = (struct verify_answer){ .verified = VERIFIED_PENDING };
    buf_clear(text);
    if (!is_known(q->address))
        return false;
    msg_init(&m, MESSAGE_VERIFY_ASK);
    fields_encode(question_fields, q, &m.body);
    status = l == NULL ? daemon_call(ROLE_LOOKUP, &m, true, deadline_ms, &in)
                       : link_call(l, &m, deadline_ms, &in);
    return status == LINK_OK && take_answer(in, text, a);
}

bool
verify_ask(const struct verify_question *q, int64_t deadline_ms,
    struct buf *text, struct verify_answer *a)
{
    return ask(NULL, q, deadline_ms, text, a);
}

bool
verify_ask_link(struct link *l, const struct verify_question *q,
    int64_t deadline_ms, struct buf *text, struct verify_answer *a)
{
    return ask(l, q, deadline_ms, text, a);
}

static void
tell(enum message type, const struct verify_result *r)
{
    struct peer *p = daemon_peer(ROLE_LOOKUP, 0);
    struct msg m;

    if (p == NULL || !is_known(r->address))
        return;
    msg_init(&m, type);
    fields_encode(result_fields, r, &m.body);
    link_send(p->link, &m);
}

void
verify_lost(struct slice address)
{
    const struct verify_result r = { .address = address };

    tell(MESSAGE_VERIFY_LOST, &r);
}

void
verify_found(const struct verify_result *r)
{
    struct verify_result cut = *r;

    cut.text = slice_head(cut.text, VERIFY_TEXT_MAX);
    tell(MESSAGE_VERIFY_FOUND, &cut);
}

bool
verify_question_decode(struct slice in, struct verify_question *q)
{
    struct verify_question read = { .flags = 0 };

    if (!fields_decode(question_fields, in, &read) || !is_known(read.address))
        return false;
    *q = read;
    return true;
}

void
verify_answer_encode(const struct verify_answer *a, struct msg *m)
{
    msg_init(m, MESSAGE_VERIFY_ANSWER);
    fields_encode(answer_fields, a, &m->body);
}

bool
verify_result_decode(struct slice in, struct verify_result *r)
{
    struct verify_result read = { .verified = 0 };

    if (!fields_decode(result_fields, in, &read) || !is_known(read.address))
        return false;
    *r = read;
    return true;
}
