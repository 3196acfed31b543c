#include "lib/table/asked.h"

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/tlv.h"
#include "lib/config/config.h"
#include "lib/daemon/daemon.h"

struct state {
    int64_t wait_ms;
};

bool
asked_of_lookup(void)
{
    return daemon_role() != ROLE_COMMAND && daemon_role() != ROLE_LOOKUP;
}

static enum result
asked_open(struct table *t, const struct config *config, struct why *why)
{
    struct state *s = mem_alloc(sizeof(*s));

    (void)why;
    s->wait_ms = config->table_lookup_timeout;
    t->state = s;
    return RESULT_OK;
}

static void
asked_close(struct table *t)
{
    mem_free(t->state);
}

bool
asked_decode(struct slice in, struct asked *q)
{
    struct tlv t;

    *q = (struct asked){ { "", 0 }, { "", 0 } };
    while (tlv_next(&in, &t)) {
        if (t.tag == ATTR_NAME)
            q->spec = t.value;
        else if (t.tag == ATTR_DATA)
            q->key = t.value;
    }
    return in.len == 0;
}

void
asked_answer(enum table_status status, struct slice value,
    const struct why *why, struct msg *m)
{
    msg_init(m, MESSAGE_TABLE_ANSWER);
    tlv_put_u64(&m->body, ATTR_RESULT, status);
    if (status == TABLE_FOUND)
        tlv_put(&m->body, ATTR_DATA, value);
    if (status == TABLE_ERROR)
        tlv_put(&m->body, ATTR_TEXT, slice_of(why->text));
}

static enum table_status
failed(const struct table *t, struct slice text, struct why *why)
{
    (void)why_temp(why, "4.3.0", "%s: " SLICE_FMT, t->spec, SLICE_ARG(text));
    return TABLE_ERROR;
}

static enum table_status
take_answer(const struct table *t, struct slice in, struct buf *value,
    struct why *why)
{
    struct slice text = SLICE_LIT("table lookup problem");
    uint64_t status = TABLE_ERROR;
    struct tlv attr;

    while (tlv_next(&in, &attr)) {
        if (attr.tag == ATTR_RESULT) {
            if (!tlv_u64(attr.value, TABLE_ERROR, &status))
                status = TABLE_ERROR;
        } else if (attr.tag == ATTR_DATA) {
            buf_add(value, attr.value);
        } else if (attr.tag == ATTR_TEXT) {
            text = attr.value;
        }
    }
    if (status == TABLE_ERROR || in.len > 0 || buf_failed(value))
        return failed(t, text, why);
    return (enum table_status)status;
}

static enum table_status
asked_find(struct table *t, struct slice key, struct buf *value,
    struct why *why)
{
    const struct state *s = t->state;
    struct msg_in *answer;
    struct msg m;
    enum table_status status;

    msg_init(&m, MESSAGE_TABLE_ASK);
    tlv_put(&m.body, ATTR_NAME, slice_of(t->spec));
    tlv_put(&m.body, ATTR_DATA, key);
    if (buf_failed(&m.body)) {
        msg_fini(&m);
        return failed(t, SLICE_LIT("key is too long"), why);
    }
    if (daemon_call(ROLE_LOOKUP, &m, true, clock_now_ms() + s->wait_ms,
            &answer) != LINK_OK)
        return failed(t, SLICE_LIT("no answer in time"), why);
    status = take_answer(t, answer->body, value, why);
    msg_in_free(answer);
    return status;
}

const struct table_type table_type_asked = {
    .name = "asked",
    .open = asked_open,
    .find = asked_find,
    .close = asked_close,
};
