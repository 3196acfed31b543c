#include "lib/mail/envelope.h"

#include "lib/base/fields.h"

enum {
    TEXT_MAX = 4096,          /* addresses, names: line_length_limit is 2048 */
    RECIPIENTS_MAX = 1 << 20, /* in one message */
    RECIPIENTS_FIRST = 4,
    GROW_SLOWER = 4096,
    ENVELOPE_MAX = 32 * TEXT_MAX, /* without recipients */
};

/* On disk: never renumbered, never reused. */
enum envelope_tag {
    TAG_ID = 1,
    TAG_ARRIVAL = 2,
    TAG_SIZE = 3,
    TAG_FLAGS = 4,
    TAG_HOPS = 5,
    TAG_SENDER = 6,
    TAG_SENDER_NAME = 7,
    TAG_ENVID = 8,
    TAG_RET = 9,
    TAG_FILTER = 10,
    TAG_MESSAGE_ID = 11,
    TAG_CLIENT_NAME = 12,
    TAG_CLIENT_ADDR = 13,
    TAG_CLIENT_PORT = 14,
    TAG_HELO = 15,
    TAG_PROTOCOL = 16,
    TAG_SASL_USER = 17,
    TAG_DROP_FILE = 18,
    TAG_REWRITE = 19,
    TAG_RECIPIENT = 20, /* group of the tags below */
};

enum recipient_tag {
    TAG_ADDRESS = 1,
    TAG_ORIGINAL = 2,
    TAG_ORCPT = 3,
    TAG_NOTIFY = 4,
    TAG_EXPANDED = 5,
};

#define TEXT(tag, name)                                             \
    {                                                               \
        tag, FIELD_SLICE, offsetof(struct envelope, name), TEXT_MAX \
    }
static const struct field envelope_fields[] = {
    { TAG_ID, FIELD_U64, offsetof(struct envelope, id), UINT64_MAX },
    { TAG_ARRIVAL, FIELD_I64, offsetof(struct envelope, arrival_us),
        INT64_MAX },
    { TAG_SIZE, FIELD_U64, offsetof(struct envelope, size), INT64_MAX },
    { TAG_FLAGS, FIELD_U32, offsetof(struct envelope, flags), UINT32_MAX },
    { TAG_HOPS, FIELD_U32, offsetof(struct envelope, hops), UINT32_MAX },
    TEXT(TAG_SENDER, sender),
    TEXT(TAG_SENDER_NAME, sender_name),
    TEXT(TAG_ENVID, envid),
    { TAG_RET, FIELD_U32, offsetof(struct envelope, ret), RET_HDRS },
    TEXT(TAG_FILTER, filter),
    TEXT(TAG_MESSAGE_ID, message_id),
    TEXT(TAG_CLIENT_NAME, client_name),
    TEXT(TAG_CLIENT_ADDR, client_addr),
    TEXT(TAG_CLIENT_PORT, client_port),
    TEXT(TAG_HELO, helo),
    TEXT(TAG_PROTOCOL, protocol),
    TEXT(TAG_SASL_USER, sasl_user),
    TEXT(TAG_DROP_FILE, drop_file),
    TEXT(TAG_REWRITE, rewrite),
    { 0 },
};
#undef TEXT

static const struct field recipient_fields[] = {
    { TAG_ADDRESS, FIELD_SLICE, offsetof(struct recipient, address), TEXT_MAX },
    { TAG_ORIGINAL, FIELD_SLICE, offsetof(struct recipient, original),
        TEXT_MAX },
    { TAG_ORCPT, FIELD_SLICE, offsetof(struct recipient, orcpt), TEXT_MAX },
    { TAG_NOTIFY, FIELD_U32, offsetof(struct recipient, notify), 15 },
    { TAG_EXPANDED, FIELD_U32, offsetof(struct recipient, expanded), 1 },
    { 0 },
};

/* Room for one more; the array grows inside the arena. */
static struct recipient *
add_place(struct envelope *env, struct arena *arena)
{
    const size_t one = sizeof(*env->recipients);
    size_t room = env->recipient_room;
    struct recipient *bigger;

    if (env->recipient_count >= RECIPIENTS_MAX)
        return NULL;
    if (env->recipient_count < room)
        return &env->recipients[env->recipient_count++];
    room = room == 0         ? RECIPIENTS_FIRST
        : room < GROW_SLOWER ? room * 2
                             : room + room / 2;
    bigger = arena_resize(arena, env->recipients, env->recipient_room * one,
        room * one);
    if (bigger == NULL)
        return NULL;
    env->recipients = bigger;
    env->recipient_room = room;
    return &env->recipients[env->recipient_count++];
}

static bool
keep(struct arena *arena, struct slice *text)
{
    return text->len == 0 || arena_slice(arena, *text, text);
}

enum result
envelope_take_recipient(struct envelope *env, struct arena *arena,
    const struct recipient *r, struct why *why)
{
    struct recipient *place = add_place(env, arena);

    if (place == NULL)
        return why_temp(why, "4.3.1", "Insufficient memory for recipients");
    *place = *r;
    return RESULT_OK;
}

enum result
envelope_add_recipient(struct envelope *env, struct arena *arena,
    const struct recipient *r, struct why *why)
{
    struct recipient copy = *r;

    if (!keep(arena, &copy.address) || !keep(arena, &copy.original) ||
        !keep(arena, &copy.orcpt))
        return why_temp(why, "4.3.1", "Insufficient memory for recipients");
    return envelope_take_recipient(env, arena, &copy, why);
}

void
recipient_put(const struct recipient *r, uint32_t tag, struct buf *to)
{
    struct buf one;

    buf_init(&one, 3 * TEXT_MAX + 64);
    fields_encode(recipient_fields, r, &one);
    tlv_put(to, tag, buf_slice(&one));
    buf_fini(&one);
}

bool
recipient_take(struct slice value, struct recipient *r)
{
    *r = (struct recipient){ 0 };
    return fields_decode(recipient_fields, value, r);
}

void
envelope_encode(const struct envelope *env, struct buf *to)
{
    fields_encode(envelope_fields, env, to);
    for (size_t i = 0; i < env->recipient_count; i++) {
        struct recipient r = env->recipients[i];

        /* Half of what a list takes on links and on disk. */
        if (slice_eq(r.original, r.address))
            r.original.len = 0;
        recipient_put(&r, TAG_RECIPIENT, to);
    }
}

void
envelope_put(const struct envelope *env, uint32_t tag, struct buf *to)
{
    struct buf one;

    buf_init(&one, ENVELOPE_MAX);
    fields_encode(envelope_fields, env, &one);
    tlv_put(to, tag, buf_slice(&one));
    buf_fini(&one);
}

enum result
envelope_decode(struct slice in, struct arena *arena, struct envelope *env,
    struct why *why)
{
    return envelope_decode_most(in, RECIPIENTS_MAX, arena, env, why);
}

/* One more that there is only to be counted. */
static struct recipient *
count_place(struct envelope *env, struct recipient *unkept)
{
    if (env->recipient_count >= RECIPIENTS_MAX)
        return NULL;
    env->recipient_count++;
    return unkept;
}

enum result
envelope_decode_most(struct slice in, size_t most, struct arena *arena,
    struct envelope *env, struct why *why)
{
    struct envelope e = { 0 };
    struct recipient unkept;
    struct slice rest;
    bool keeps = most >= RECIPIENTS_MAX ||
        envelope_count_recipients(in, &rest) <= most;
    struct tlv t;

    while (tlv_next(&in, &t)) {
        struct recipient *place;

        if (t.tag != TAG_RECIPIENT) {
            if (fields_take(envelope_fields, &t, &e) == FIELD_BAD)
                return why_perm(why, "5.3.0", "malformed envelope attribute");
            continue;
        }
        place = keeps ? add_place(&e, arena) : count_place(&e, &unkept);
        if (place == NULL)
            return why_temp(why, "4.3.1", "too many recipients for memory");
        if (!recipient_take(t.value, place))
            return why_perm(why, "5.3.0", "malformed recipient");
    }
    if (in.len > 0)
        return why_perm(why, "5.3.0", "malformed envelope");
    *env = e;
    return RESULT_OK;
}

size_t
envelope_count_recipients(struct slice in, struct slice *rest)
{
    struct slice at = in;
    struct tlv t;
    size_t n = 0;

    *rest = (struct slice){ in.ptr + in.len, 0 };
    while (tlv_next(&at, &t)) {
        if (t.tag == TAG_RECIPIENT && n++ == 0)
            *rest = in;
        in = at;
    }
    return n;
}

struct slice
envelope_some_recipients(struct slice rest, size_t octets)
{
    struct slice at = rest;
    size_t len = 0;
    struct tlv t;

    while (tlv_next(&at, &t) && rest.len - at.len <= octets)
        len = rest.len - at.len;
    return slice_head(rest, len);
}

bool
envelope_next_recipient(struct slice *rest, struct recipient *r)
{
    struct tlv t;

    while (tlv_next(rest, &t)) {
        if (t.tag == TAG_RECIPIENT && recipient_take(t.value, r))
            return true;
    }
    return false;
}
