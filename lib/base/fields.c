#include "lib/base/fields.h"

static uint64_t
number_at(enum field_kind kind, const unsigned char *at)
{
    uint32_t narrow;
    uint64_t wide;

    if (kind == FIELD_U32) {
        memcpy(&narrow, at, sizeof(narrow));
        return narrow;
    }
    memcpy(&wide, at, sizeof(wide));
    return wide;
}

void
fields_encode(const struct field *table, const void *from, struct buf *to)
{
    for (const struct field *f = table; f->tag != 0; f++) {
        const unsigned char *at = (const unsigned char *)from + f->offset;
        struct slice s = { NULL, 0 };

        switch (f->kind) {
        case FIELD_U32:
        case FIELD_U64:
        case FIELD_I64:
            if (number_at(f->kind, at) != 0)
                tlv_put_u64(to, f->tag, number_at(f->kind, at));
            continue;
        case FIELD_SLICE:
            memcpy(&s, at, sizeof(s));
            break;
        case FIELD_TEXT:
            s.ptr = (const char *)at;
            s.len = strnlen(s.ptr, f->max);
            break;
        }
        if (s.len > 0)
            tlv_put(to, f->tag, s);
    }
}

static bool
take_number(const struct field *f, struct slice value, unsigned char *at)
{
    uint64_t max = f->max, wide;
    uint32_t narrow;

    if (f->kind == FIELD_I64 && max > INT64_MAX)
        max = INT64_MAX;
    if (f->kind == FIELD_U32 && max > UINT32_MAX)
        max = UINT32_MAX;
    if (!tlv_u64(value, max, &wide))
        return false;
    narrow = (uint32_t)wide;
    if (f->kind == FIELD_U32)
        memcpy(at, &narrow, sizeof(narrow));
    else
        memcpy(at, &wide, sizeof(wide));
    return true;
}

static bool
take_text(const struct field *f, struct slice value, char *at)
{
    if (value.len >= f->max || memchr(value.ptr, '\0', value.len) != NULL)
        return false;
    memcpy(at, value.ptr, value.len);
    at[value.len] = '\0';
    return true;
}

static bool
take(const struct field *f, struct slice value, unsigned char *at)
{
    switch (f->kind) {
    case FIELD_U32:
    case FIELD_U64:
    case FIELD_I64:
        return take_number(f, value, at);
    case FIELD_TEXT:
        return take_text(f, value, (char *)at);
    case FIELD_SLICE:
        break;
    }
    if (value.len > f->max)
        return false;
    memcpy(at, &value, sizeof(value));
    return true;
}

enum field_status
fields_take(const struct field *table, const struct tlv *t, void *to)
{
    for (const struct field *f = table; f->tag != 0; f++)
        if (f->tag == t->tag)
            return take(f, t->value, (unsigned char *)to + f->offset)
                ? FIELD_TAKEN
                : FIELD_BAD;
    return FIELD_UNKNOWN;
}

bool
fields_decode(const struct field *table, struct slice in, void *to)
{
    struct tlv t;

    while (tlv_next(&in, &t))
        if (fields_take(table, &t, to) == FIELD_BAD)
            return false;
    return in.len == 0;
}
