#include "lib/base/tlv.h"

enum { VARINT_MAX = 10 };

static size_t
varint_encode(unsigned char to[VARINT_MAX], uint64_t value)
{
    size_t n = 0;

    while (value >= 0x80) {
        to[n++] = (unsigned char)(value | 0x80);
        value >>= 7;
    }
    to[n++] = (unsigned char)value;
    return n;
}

static bool
varint_take_long(struct slice *rest, uint64_t *value)
{
    uint64_t n = 0;

    for (size_t i = 0; i < rest->len && i < VARINT_MAX; i++) {
        uint64_t octet = (unsigned char)rest->ptr[i];

        if (i == VARINT_MAX - 1 && octet > 1)
            return false;
        n |= (octet & 0x7f) << (7 * i);
        if (octet < 0x80) {
            *value = n;
            *rest = slice_skip(*rest, i + 1);
            return true;
        }
    }
    return false;
}

/* Most are of one octet. */
static inline bool
varint_take(struct slice *rest, uint64_t *value)
{
    if (rest->len == 0 || (unsigned char)rest->ptr[0] >= 0x80)
        return varint_take_long(rest, value);
    *value = (unsigned char)rest->ptr[0];
    *rest = slice_skip(*rest, 1);
    return true;
}

void
tlv_put(struct buf *to, uint32_t tag, struct slice value)
{
    unsigned char head[2 * VARINT_MAX];
    size_t n = varint_encode(head, tag);

    n += varint_encode(head + n, value.len);
    buf_add(to, (struct slice){ (const char *)head, n });
    buf_add(to, value);
}

void
tlv_put_u64(struct buf *to, uint32_t tag, uint64_t value)
{
    unsigned char octets[VARINT_MAX];
    size_t n = varint_encode(octets, value);

    tlv_put(to, tag, (struct slice){ (const char *)octets, n });
}

bool
tlv_next(struct slice *rest, struct tlv *t)
{
    struct slice s = *rest;
    uint64_t tag, len;

    if (!varint_take(&s, &tag) || tag > UINT32_MAX || !varint_take(&s, &len) ||
        len > s.len)
        return false;
    t->tag = (uint32_t)tag;
    t->value = slice_head(s, len);
    *rest = slice_skip(s, len);
    return true;
}

size_t
tlv_count(struct slice in, uint32_t tag)
{
    struct tlv t;
    size_t n = 0;

    while (tlv_next(&in, &t))
        n += t.tag == tag;
    return n;
}

bool
tlv_u64(struct slice value, uint64_t max, uint64_t *n)
{
    uint64_t v;

    if (!varint_take(&value, &v) || value.len > 0 || v > max)
        return false;
    *n = v;
    return true;
}
