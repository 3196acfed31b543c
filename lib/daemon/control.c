#include "lib/daemon/control.h"

#include "lib/base/tlv.h"
#include "lib/daemon/slots.h"

/* ATTR_FLAGS of CONFIGURE, and of LINK. */
enum { HAS_LOG = 1 << 0, HAS_SLOTS = 1 << 1, HAS_PRIVATE = 1 << 2 };
enum { IS_ELDER = 1 << 0 };

/* One number of a message: where it is kept and how large it may be. */
struct number {
    uint32_t tag;
    uint32_t *to;
    uint32_t max;
};

static bool
take_number(const struct tlv *t, const struct number *numbers, size_t count)
{
    uint64_t wide;

    for (size_t i = 0; i < count; i++)
        if (numbers[i].tag == t->tag) {
            if (!tlv_u64(t->value, numbers[i].max, &wide))
                return false;
            *numbers[i].to = (uint32_t)wide;
            return true;
        }
    return true;
}

void
control_configure_encode(const struct control_configure *c, struct msg *m)
{
    tlv_put_u64(&m->body, ATTR_LENGTH, c->length);
    tlv_put_u64(&m->body, ATTR_INDEX, c->index);
    tlv_put_u64(&m->body, ATTR_COUNT, c->pool);
    tlv_put_u64(&m->body, ATTR_EXPECTS, c->expected);
    tlv_put_u64(&m->body, ATTR_SLOT, c->column);
    tlv_put_u64(&m->body, ATTR_KIND, c->log);
    tlv_put_u64(&m->body, ATTR_FLAGS,
        (c->has_log ? HAS_LOG : 0U) | (c->has_slots ? HAS_SLOTS : 0U) |
            (c->has_private ? HAS_PRIVATE : 0U));
    if (c->has_secrets)
        tlv_put(&m->body, ATTR_SECRET,
            (struct slice){ (const char *)&c->secrets, sizeof(c->secrets) });
}

static bool
take_secrets(struct slice value, struct control_configure *c)
{
    if (value.len != sizeof(c->secrets))
        return false;
    memcpy(&c->secrets, value.ptr, sizeof(c->secrets));
    c->has_secrets = true;
    return true;
}

bool
control_configure_decode(const struct msg_in *in, struct control_configure *c)
{
    uint32_t flags = 0, log = LOGSINK_SYSLOG;
    const struct number numbers[] = {
        { ATTR_LENGTH, &c->length, CONTROL_SNAPSHOT_MAX },
        { ATTR_INDEX, &c->index, CONTROL_POOL_MAX },
        { ATTR_COUNT, &c->pool, CONTROL_POOL_MAX },
        { ATTR_EXPECTS, &c->expected, UINT32_MAX },
        { ATTR_SLOT, &c->column, SLOTS_COLUMNS - 1 },
        { ATTR_KIND, &log, LOGSINK_STDOUT },
        { ATTR_FLAGS, &flags, HAS_LOG | HAS_SLOTS | HAS_PRIVATE },
    };
    struct slice rest = in->body;
    struct tlv t;

    *c = (struct control_configure){ .length = 0 };
    while (tlv_next(&rest, &t))
        if (t.tag == ATTR_SECRET ? !take_secrets(t.value, c)
                                 : !take_number(&t, numbers,
                                       sizeof(numbers) / sizeof(numbers[0])))
            return false;
    c->log = (enum logsink_kind)log;
    c->has_log = (flags & HAS_LOG) != 0;
    c->has_slots = (flags & HAS_SLOTS) != 0;
    c->has_private = (flags & HAS_PRIVATE) != 0;
    return rest.len == 0 &&
        in->fd_count == 1U + c->has_log + c->has_slots + c->has_private;
}

void
control_encode(const struct control *c, struct msg *m)
{
    tlv_put_u64(&m->body, ATTR_ROLE, c->role);
    tlv_put_u64(&m->body, ATTR_INDEX, c->index);
    tlv_put_u64(&m->body, ATTR_SLOT, c->row);
    tlv_put_u64(&m->body, ATTR_LIMIT, c->ms);
    tlv_put_u64(&m->body, ATTR_PROCESS, c->process);
    tlv_put_u64(&m->body, ATTR_FLAGS, c->elder ? IS_ELDER : 0U);
    tlv_put_u64(&m->body, ATTR_KIND, c->end);
    tlv_put_u64(&m->body, ATTR_TYPE, c->code);
    tlv_put(&m->body, ATTR_NAME, c->name);
    tlv_put(&m->body, ATTR_SERVICE, c->service);
}

bool
control_decode(const struct msg_in *in, struct control *c)
{
    uint32_t role = ROLE_MASTER, end = PROCESS_EXITED, flags = 0;
    const struct number numbers[] = {
        { ATTR_ROLE, &role, ROLE_COUNT - 1 },
        { ATTR_INDEX, &c->index, CONTROL_POOL_MAX },
        { ATTR_SLOT, &c->row, SLOTS_ROWS - 1 },
        { ATTR_LIMIT, &c->ms, INT32_MAX },
        { ATTR_PROCESS, &c->process, UINT32_MAX },
        { ATTR_FLAGS, &flags, IS_ELDER },
        { ATTR_KIND, &end, PROCESS_REPLACED },
        { ATTR_TYPE, &c->code, UINT8_MAX },
    };
    struct slice rest = in->body;
    struct tlv t;

    *c = (struct control){ .index = 0 };
    while (tlv_next(&rest, &t)) {
        if (t.tag == ATTR_NAME)
            c->name = t.value;
        else if (t.tag == ATTR_SERVICE)
            c->service = t.value;
        else if (!take_number(&t, numbers,
                     sizeof(numbers) / sizeof(numbers[0])))
            return false;
    }
    c->role = (enum role)role;
    c->end = (enum process_end)end;
    c->elder = (flags & IS_ELDER) != 0;
    return rest.len == 0;
}
