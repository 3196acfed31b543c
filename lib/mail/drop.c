#include "lib/mail/drop.h"

#include "lib/base/clock.h"
#include "lib/base/num.h"
#include "lib/base/put.h"
#include "lib/base/random.h"
#include "lib/base/tlv.h"
#include "lib/ipc/protocol.h"

#include <errno.h>
#include <stdio.h>

static const struct slice magic = { "PSTNDRP1", 8 };

/* Writing */

static void
put_u32(uint32_t n, struct buf *to)
{
    char octets[4];

    put_le32(octets, n);
    buf_add(to, (struct slice){ octets, sizeof(octets) });
}

void
drop_put_head(const struct envelope *env, struct buf *to)
{
    struct buf head;

    buf_init(&head, DROP_HEAD_MAX);
    envelope_encode(env, &head);
    if (buf_failed(&head))
        to->failed = true;
    buf_add(to, magic);
    put_u32((uint32_t)head.len, to);
    buf_add(to, buf_slice(&head));
    buf_fini(&head);
}

void
drop_put_content(struct slice octets, struct buf *to)
{
    while (octets.len > 0) {
        struct slice chunk = slice_head(octets, DROP_CHUNK_MAX);

        put_u32((uint32_t)chunk.len, to);
        buf_add(to, chunk);
        octets = slice_skip(octets, chunk.len);
    }
}

void
drop_put_end(struct buf *to)
{
    put_u32(0, to);
}

/* Reading */

static enum result
read_failed(enum stream_status status, struct why *why)
{
    if (status == STREAM_EOF)
        return why_perm(why, "5.3.0", "message ends before its end");
    if (status == STREAM_TIMEOUT)
        return why_temp(why, "4.4.2", "timeout while reading a message");
    return why_errno(why, "read a message");
}

/* Exactly size octets into to. */
static enum result
read_exactly(struct stream *from, int64_t deadline, char *to, size_t size,
    struct why *why)
{
    while (size > 0) {
        struct slice in;
        enum stream_status status = stream_peek(from, deadline, &in);

        if (status != STREAM_OK)
            return read_failed(status, why);
        in = slice_head(in, size);
        memcpy(to, in.ptr, in.len);
        stream_consume(from, in.len);
        to += in.len;
        size -= in.len;
    }
    return RESULT_OK;
}

enum result
drop_read_head(struct drop_reader *r, struct stream *from, int64_t deadline,
    struct arena *arena, struct envelope *env, struct why *why)
{
    char front[12], *head;
    uint32_t length;
    enum result res;

    *r = (struct drop_reader){ .from = from };
    res = read_exactly(from, deadline, front, sizeof(front), why);
    if (res != RESULT_OK)
        return res;
    length = get_le32(front + magic.len);
    if (memcmp(front, magic.ptr, magic.len) != 0 || length > DROP_HEAD_MAX)
        return why_perm(why, "5.3.0", "this is no message of sendmail's");
    head = arena_alloc(arena, length + 1UL);
    if (head == NULL)
        return why_temp(why, "4.3.1", "no memory for an envelope");
    res = read_exactly(from, deadline, head, length, why);
    if (res != RESULT_OK)
        return res;
    return envelope_decode((struct slice){ head, length }, arena, env, why);
}

static enum result
next_chunk(struct drop_reader *r, int64_t deadline, struct why *why)
{
    char length[4];
    enum result res = read_exactly(r->from, deadline, length, sizeof(length),
        why);

    if (res != RESULT_OK)
        return res;
    r->left = get_le32(length);
    r->at_end = r->left == 0;
    if (r->left > DROP_CHUNK_MAX)
        return why_perm(why, "5.3.0", "malformed message");
    return RESULT_OK;
}

enum result
drop_read_content(struct drop_reader *r, int64_t deadline, struct slice *octets,
    struct why *why)
{
    enum stream_status status;

    *octets = (struct slice){ NULL, 0 };
    if (r->left == 0 && !r->at_end) {
        enum result res = next_chunk(r, deadline, why);

        if (res != RESULT_OK)
            return res;
    }
    if (r->at_end)
        return RESULT_OK;
    status = stream_peek(r->from, deadline, octets);
    if (status != STREAM_OK)
        return read_failed(status, why);
    *octets = slice_head(*octets, r->left);
    r->left -= (uint32_t)octets->len;
    /* What was consumed stays where it is until the next read. */
    stream_consume(r->from, octets->len);
    return RESULT_OK;
}

/* What a user may say */

static bool
is_clean(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.ptr[i] < ' ' || s.ptr[i] == 127)
            return false;
    return true;
}

static enum result
sanitize_recipient(struct recipient *r, struct why *why)
{
    const uint32_t all = NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE |
        NOTIFY_DELAY;

    if (r->address.len == 0 || !is_clean(r->address) || !is_clean(r->orcpt))
        return why_perm(why, "5.1.3", "malformed recipient address");
    r->original = (struct slice){ NULL, 0 };
    r->notify &= all;
    return RESULT_OK;
}

enum result
drop_sanitize(struct envelope *env, struct why *why)
{
    const uint32_t flags = ENVELOPE_8BIT | ENVELOPE_TRACE | ENVELOPE_VERIFY;
    const struct envelope said = *env;

    if (!is_clean(said.sender) || !is_clean(said.sender_name) ||
        !is_clean(said.envid))
        return why_perm(why, "5.1.7", "malformed sender address");
    if (said.recipient_count == 0)
        return why_perm(why, "5.1.0", "no recipients");
    *env = (struct envelope){
        .flags = (said.flags & flags) | ENVELOPE_LOCAL,
        .sender = said.sender,
        .sender_name = said.sender_name,
        .envid = said.envid,
        .ret = said.ret,
        .drop_file = said.drop_file,
        .recipients = said.recipients,
        .recipient_count = said.recipient_count,
        .recipient_room = said.recipient_room,
    };
    for (size_t i = 0; i < env->recipient_count; i++) {
        enum result res = sanitize_recipient(&env->recipients[i], why);

        if (res != RESULT_OK)
            return res;
    }
    return RESULT_OK;
}

/* Names */

void
drop_name(uid_t uid, char name[DROP_NAME_MAX])
{
    (void)snprintf(name, DROP_NAME_MAX, "%ju-%jx-%016jx%016jx", (uintmax_t)uid,
        (uintmax_t)clock_wall_us(), (uintmax_t)random_u64(),
        (uintmax_t)random_u64());
}

bool
drop_name_is_valid(struct slice name, uid_t uid)
{
    size_t dash = slice_find(name, '-');
    uint32_t owner;

    if (name.len >= DROP_NAME_MAX || dash + 1 >= name.len ||
        !num_parse_u32(slice_head(name, dash), UINT32_MAX, &owner) ||
        owner != uid)
        return false;
    for (size_t i = dash + 1; i < name.len; i++)
        if (strchr("0123456789abcdef-", name.ptr[i]) == NULL ||
            name.ptr[i] == '\0')
            return false;
    return true;
}

/* The answer */

void
drop_put_answer(const struct drop_answer *a, struct buf *to)
{
    struct buf body;

    buf_init(&body, DROP_ANSWER_MAX);
    tlv_put_u64(&body, ATTR_RESULT, a->result);
    if (a->result != RESULT_OK) {
        tlv_put(&body, ATTR_STATUS, slice_of(a->why.status));
        tlv_put(&body, ATTR_TEXT, slice_of(a->why.text));
    }
    tlv_put(&body, ATTR_NAME, slice_of(a->id));
    put_u32((uint32_t)body.len, to);
    buf_add(to, buf_slice(&body));
    buf_fini(&body);
}

static void
take_text(struct slice value, char *to, size_t size)
{
    value = slice_head(value, size - 1);
    if (value.len > 0)
        memcpy(to, value.ptr, value.len);
    to[value.len] = '\0';
}

bool
drop_read_answer(struct stream *from, int64_t deadline, struct drop_answer *a)
{
    char body[DROP_ANSWER_MAX], length[4];
    struct slice rest = { body, 0 };
    uint64_t result = RESULT_TEMPFAIL;
    struct tlv t;
    struct why why;

    *a = (struct drop_answer){ .result = RESULT_TEMPFAIL };
    if (read_exactly(from, deadline, length, sizeof(length), &why) != RESULT_OK)
        return false;
    rest.len = get_le32(length);
    if (rest.len > sizeof(body) ||
        read_exactly(from, deadline, body, rest.len, &why) != RESULT_OK)
        return false;
    while (tlv_next(&rest, &t)) {
        if (t.tag == ATTR_RESULT) {
            if (!tlv_u64(t.value, RESULT_PERMFAIL, &result))
                return false;
        } else if (t.tag == ATTR_STATUS) {
            take_text(t.value, a->why.status, sizeof(a->why.status));
        } else if (t.tag == ATTR_TEXT) {
            take_text(t.value, a->why.text, sizeof(a->why.text));
        } else if (t.tag == ATTR_NAME) {
            take_text(t.value, a->id, sizeof(a->id));
        }
    }
    a->result = (enum result)result;
    return rest.len == 0;
}
