#include "lib/mail/count.h"

#include "lib/base/clock.h"
#include "lib/base/fields.h"
#include "lib/base/map.h"
#include "lib/daemon/daemon.h"

enum { ANSWER_MS = 10 * 1000 };

struct question {
    uint32_t event; /* plus one: zeros are not sent */
    struct slice key;
};

static const struct field question_fields[] = {
    { ATTR_KIND, FIELD_U32, offsetof(struct question, event), COUNT_EVENTS },
    { ATTR_NAME, FIELD_SLICE, offsetof(struct question, key), COUNT_KEY_MAX },
    { 0, FIELD_U32, 0, 0 },
};

static const struct field count_fields[] = {
    { ATTR_COUNT, FIELD_U32, offsetof(struct count, connections), UINT32_MAX },
    { ATTR_INDEX, FIELD_U32, offsetof(struct count, rate), UINT32_MAX },
    { 0, FIELD_U32, 0, 0 },
};

/* The process that counts this key, always the same. */
static struct peer *
counter_of(struct slice key)
{
    return daemon_peer(ROLE_LOOKUP, map_hash_slice(key));
}

static void
encode_question(enum message type, enum count_event event, struct slice key,
    struct msg *m)
{
    const struct question q = { (uint32_t)event + 1,
        slice_head(key, COUNT_KEY_MAX) };

    msg_init(m, type);
    fields_encode(question_fields, &q, &m->body);
}

bool
count_ask(enum count_event event, struct slice key, struct count *count)
{
    struct peer *p = counter_of(key);
    struct msg_in *in;
    struct msg m;
    bool ok;

    *count = (struct count){ .rate = 0 };
    if (p == NULL)
        return false;
    encode_question(MESSAGE_TALLY, event, key, &m);
    if (link_call(p->link, &m, clock_now_ms() + ANSWER_MS, &in) != LINK_OK)
        return false;
    ok = fields_decode(count_fields, in->body, count);
    msg_in_free(in);
    return ok;
}

void
count_tell(enum count_event event, struct slice key)
{
    struct peer *p = counter_of(key);
    struct msg m;

    if (p == NULL)
        return;
    encode_question(MESSAGE_TALLY_TELL, event, key, &m);
    link_send(p->link, &m);
}

bool
count_decode(struct slice in, enum count_event *event, struct slice *key)
{
    struct question q = { .event = 0 };

    if (!fields_decode(question_fields, in, &q) || q.event == 0 ||
        q.key.len == 0)
        return false;
    *event = (enum count_event)(q.event - 1);
    *key = q.key;
    return true;
}

void
count_encode(const struct count *count, struct msg *m)
{
    msg_init(m, MESSAGE_TALLIED);
    fields_encode(count_fields, count, &m->body);
}
