#include "lib/table/memo.h"

#include "lib/base/fields.h"
#include "lib/daemon/daemon.h"

#define OF(name) offsetof(struct memo, name)
static const struct field memo_fields[] = {
    { ATTR_KIND, FIELD_U32, OF(book), MEMO_BOOKS - 1 },
    { ATTR_NAME, FIELD_SLICE, OF(key), MEMO_KEY_MAX },
    { ATTR_DATA, FIELD_SLICE, OF(value), MEMO_VALUE_MAX },
    { ATTR_TIME, FIELD_I64, OF(end_s), INT64_MAX },
    { 0 },
};
#undef OF

#define OF(name) offsetof(struct memo_answer, name)
static const struct field answer_fields[] = {
    { ATTR_RESULT, FIELD_U32, OF(status), MEMO_ERROR },
    { ATTR_DATA, FIELD_SLICE, OF(value), MEMO_VALUE_MAX },
    { 0 },
};
#undef OF

void
memo_encode(enum message type, const struct memo *memo, struct msg *m)
{
    msg_init(m, type);
    fields_encode(memo_fields, memo, &m->body);
}

enum result
memo_decode(struct slice in, struct memo *memo, struct why *why)
{
    struct memo read = { 0 };

    if (!fields_decode(memo_fields, in, &read) || read.key.len == 0)
        return why_perm(why, "5.3.0", "malformed memo");
    *memo = read;
    return RESULT_OK;
}

void
memo_answer_encode(const struct memo_answer *a, struct msg *m)
{
    msg_init(m, MESSAGE_MEMO_ANSWER);
    fields_encode(answer_fields, a, &m->body);
}

bool
memo_answer_decode(struct slice in, struct memo_answer *a)
{
    struct memo_answer read = { 0 };

    if (!fields_decode(answer_fields, in, &read))
        return false;
    *a = read;
    return true;
}

enum memo_status
memo_find(enum memo_book book, struct slice key, int64_t deadline_ms,
    struct buf *value)
{
    const struct memo ask = { .book = book, .key = key };
    struct memo_answer a = { .status = MEMO_ERROR };
    struct msg_in *in;
    struct msg m;

    buf_clear(value);
    if (key.len == 0 || key.len > MEMO_KEY_MAX)
        return MEMO_NOT_FOUND;
    memo_encode(MESSAGE_MEMO_ASK, &ask, &m);
    if (daemon_call(ROLE_LOOKUP, &m, true, deadline_ms, &in) != LINK_OK)
        return MEMO_ERROR;
    if (!memo_answer_decode(in->body, &a))
        a.status = MEMO_ERROR;
    if (a.status == MEMO_FOUND)
        buf_add(value, a.value);
    msg_in_free(in);
    return a.status == MEMO_FOUND && buf_failed(value) ? MEMO_ERROR : a.status;
}

void
memo_keep(enum memo_book book, struct slice key, struct slice value,
    int64_t end_s)
{
    const struct memo memo = { book, key, value, end_s < 0 ? 0 : end_s };
    struct peer *p = daemon_peer(ROLE_LOOKUP, 0);
    struct msg m;

    if (p == NULL || key.len == 0 || key.len > MEMO_KEY_MAX ||
        value.len > MEMO_VALUE_MAX)
        return;
    memo_encode(MESSAGE_MEMO_KEEP, &memo, &m);
    link_send(p->link, &m);
}
