#include "lib/mail/submission.h"

#include "lib/base/fields.h"
#include "lib/daemon/daemon.h"

#include <unistd.h>

enum {
    LEASE_COUNT = 64, /* ids asked for at a time */
    INDEXES_MAX = 1 << 20,
    TAG_SETTLE_ONLY = ATTR_PRIVATE,
};

/* The lease of this process: its ids are used by whoever comes next. */
static struct {
    uint64_t next;
    uint64_t left;
} lease;

#define OF(name) offsetof(struct queue_answer, name)
static const struct field answer_fields[] = {
    { ATTR_RESULT, FIELD_U32, OF(result), RESULT_PERMFAIL },
    { ATTR_ID, FIELD_U64, OF(id), UINT64_MAX },
    { ATTR_COUNT, FIELD_U64, OF(count), 1 << 20 },
    { ATTR_BLOB, FIELD_U64, OF(blob), UINT64_MAX },
    { ATTR_STATUS, FIELD_TEXT, OF(why.status),
        sizeof(((struct why *)0)->status) },
    { ATTR_TEXT, FIELD_TEXT, OF(why.text), sizeof(((struct why *)0)->text) },
    { 0 },
};
#undef OF

void
queue_answer_encode(enum message type, const struct queue_answer *a,
    struct msg *m)
{
    msg_init(m, type);
    fields_encode(answer_fields, a, &m->body);
}

enum result
queue_answer_decode(struct slice in, struct queue_answer *a, struct why *why)
{
    *a = (struct queue_answer){ 0 };
    if (!fields_decode(answer_fields, in, a))
        return why_temp(why, "4.3.0", "malformed answer");
    if (a->result != RESULT_OK)
        *why = a->why;
    return a->result;
}

/* Ask qmgr; on RESULT_OK the caller frees *answer. Waits. */
static enum result
ask(struct msg *m, int64_t deadline, struct queue_answer *v,
    struct msg_in **answer, struct why *why)
{
    enum result res;

    if (daemon_call(ROLE_QMGR, m, true, deadline, answer) != LINK_OK)
        return why_temp(why, "4.3.0", "queue manager is not available");
    res = queue_answer_decode((*answer)->body, v, why);
    if (res != RESULT_OK)
        msg_in_free(*answer);
    return res;
}

enum result
submission_next_id(int64_t deadline, uint64_t *id, struct why *why)
{
    struct msg_in *answer;
    struct queue_answer v;
    enum result res;
    struct msg m;

    /* Another fiber may have used up the lease that this one fetched. */
    while (lease.left == 0) {
        msg_init(&m, MESSAGE_LEASE);
        tlv_put_u64(&m.body, ATTR_COUNT, LEASE_COUNT);
        res = ask(&m, deadline, &v, &answer, why);
        if (res != RESULT_OK)
            return res;
        msg_in_free(answer);
        if (v.id == 0 || v.count == 0)
            return why_temp(why, "4.3.0", "queue manager leased no id");
        lease.next = v.id;
        lease.left = v.count;
    }
    lease.left--;
    *id = lease.next++;
    return RESULT_OK;
}

enum result
submission_borrow_blob(uint64_t id, int64_t deadline, struct blob *blob,
    struct why *why)
{
    struct msg_in *answer;
    struct queue_answer v;
    enum result res;
    struct msg m;

    msg_init(&m, MESSAGE_BORROW_BLOB);
    tlv_put_u64(&m.body, ATTR_ID, id);
    res = ask(&m, deadline, &v, &answer, why);
    if (res != RESULT_OK)
        return res;
    if (v.blob == 0 || answer->fd_count != 1)
        res = why_temp(why, "4.3.0", "queue manager lent no file");
    else
        *blob = (struct blob){ .number = v.blob,
            .fd = msg_in_take_fd(answer, 0) };
    msg_in_free(answer);
    return res;
}

static void
close_blob(struct blob *blob)
{
    if (blob->number != 0 && blob->fd >= 0)
        close(blob->fd);
    blob->fd = -1;
}

void
submission_return_blob(struct blob *blob)
{
    struct peer *qmgr = daemon_peer(ROLE_QMGR, 0);
    struct msg m;

    if (blob->number != 0 && qmgr != NULL) {
        msg_init(&m, MESSAGE_RETURN_BLOB);
        tlv_put_u64(&m.body, ATTR_BLOB, blob->number);
        link_send(qmgr->link, &m);
    }
    close_blob(blob);
    *blob = (struct blob){ .fd = -1 };
}

#define OF(name) offsetof(struct submission, name)
static const struct field submission_fields[] = {
    { ATTR_HEADER, FIELD_SLICE, OF(header), MESSAGE_ENVELOPE },
    { ATTR_BODY, FIELD_SLICE, OF(body), MESSAGE_ENVELOPE },
    { ATTR_BLOB, FIELD_U64, OF(blob.number), UINT64_MAX },
    { ATTR_LENGTH, FIELD_U64, OF(blob.length), INT64_MAX },
    { ATTR_CRC, FIELD_U32, OF(blob.crc), UINT32_MAX },
    { 0 },
};
#undef OF

static void
put_settlement(const struct settlement *s, struct buf *to)
{
    struct buf one;

    buf_init(&one, MESSAGE_ENVELOPE);
    attempt_encode(&s->attempt, ATTR_TOKEN, &one);
    for (size_t i = 0; i < s->count; i++)
        tlv_put_u64(&one, ATTR_RCPT_INDEX, s->indexes[i]);
    if (s->result != NULL)
        rcpt_result_encode(s->result, ATTR_RCPT_RESULT, &one);
    tlv_put(to, ATTR_SETTLE, buf_slice(&one));
    buf_fini(&one);
}

static void
encode(const struct submission *s, struct msg *m)
{
    struct buf envelope;

    msg_init(m, MESSAGE_SUBMIT);
    buf_init(&envelope, MESSAGE_ENVELOPE);
    envelope_encode(&s->envelope, &envelope);
    tlv_put(&m->body, ATTR_ENVELOPE, buf_slice(&envelope));
    buf_fini(&envelope);
    fields_encode(submission_fields, s, &m->body);
    if (s->settles != NULL)
        put_settlement(s->settles, &m->body);
    if (s->settle_only)
        tlv_put_u64(&m->body, TAG_SETTLE_ONLY, 1);
}

enum result
submission_send(struct submission *s, int64_t deadline, struct why *why)
{
    struct msg_in *answer;
    struct queue_answer v;
    enum result res;
    struct msg m;

    encode(s, &m);
    if (buf_failed(&m.body)) {
        msg_fini(&m);
        submission_return_blob(&s->blob);
        return why_temp(why, "4.3.1", "message envelope is too large");
    }
    res = ask(&m, deadline, &v, &answer, why);
    if (res == RESULT_OK)
        msg_in_free(answer);
    close_blob(&s->blob);
    return res;
}

static enum result
decode_result(struct slice in, struct arena *arena, struct settlement *s,
    struct why *why)
{
    struct rcpt_result *result = arena_alloc(arena, sizeof(*result));

    if (result == NULL)
        return why_temp(why, "4.3.1", "no memory for settlement");
    s->result = result;
    if (rcpt_result_decode(in, result, why) != RESULT_OK)
        return RESULT_PERMFAIL;
    /* Of what failed no transaction tells. */
    return result->outcome == OUTCOME_SENT
        ? RESULT_OK
        : why_perm(why, "5.3.0", "malformed settlement");
}

static enum result
decode_settlement(struct slice in, struct arena *arena, struct settlement *s,
    struct why *why)
{
    enum result res;
    uint32_t *indexes;
    uint64_t index;
    struct tlv t;

    /* An index takes three octets at least. */
    if (in.len / 3 > INDEXES_MAX)
        return why_perm(why, "5.3.0", "settlement of too many recipients");
    indexes = arena_alloc(arena, (in.len / 3 + 1) * sizeof(*indexes));
    if (indexes == NULL)
        return why_temp(why, "4.3.1", "no memory for settlement");
    while (tlv_next(&in, &t)) {
        if (t.tag == ATTR_TOKEN &&
            attempt_decode(t.value, &s->attempt, why) != RESULT_OK)
            return RESULT_PERMFAIL;
        if (t.tag == ATTR_RCPT_INDEX) {
            if (!tlv_u64(t.value, UINT32_MAX, &index))
                return why_perm(why, "5.3.0", "malformed settlement");
            indexes[s->count++] = (uint32_t)index;
        }
        if (t.tag == ATTR_RCPT_RESULT) {
            res = decode_result(t.value, arena, s, why);
            if (res != RESULT_OK)
                return res;
        }
    }
    if (in.len > 0 || s->attempt.id == 0)
        return why_perm(why, "5.3.0", "malformed settlement");
    s->indexes = indexes;
    return RESULT_OK;
}

static enum result
take_attribute(const struct tlv *t, size_t most, struct arena *arena,
    struct submission *s, struct why *why)
{
    struct settlement *settles;
    uint64_t flag;

    switch (t->tag) {
    case ATTR_ENVELOPE:
        s->encoded = t->value;
        return envelope_decode_most(t->value, most, arena, &s->envelope, why);
    case ATTR_SETTLE:
        settles = arena_alloc(arena, sizeof(*settles));
        if (settles == NULL)
            return why_temp(why, "4.3.1", "no memory for settlement");
        s->settles = settles;
        return decode_settlement(t->value, arena, settles, why);
    case TAG_SETTLE_ONLY:
        if (!tlv_u64(t->value, 1, &flag))
            return why_perm(why, "5.3.0", "malformed submission");
        s->settle_only = flag == 1;
        return RESULT_OK;
    default:
        if (fields_take(submission_fields, t, s) == FIELD_BAD)
            return why_perm(why, "5.3.0", "malformed submission");
        return RESULT_OK;
    }
}

enum result
submission_decode(struct slice in, size_t most, struct arena *arena,
    struct submission *s, struct why *why)
{
    struct submission read = { .blob.fd = -1 };
    enum result res;
    struct tlv t;

    while (tlv_next(&in, &t)) {
        res = take_attribute(&t, most, arena, &read, why);
        if (res != RESULT_OK)
            return res;
    }
    if (in.len > 0 || (!read.settle_only && read.envelope.id == 0) ||
        (read.settle_only && read.settles == NULL))
        return why_perm(why, "5.3.0", "malformed submission");
    *s = read;
    return RESULT_OK;
}
