#include "lib/dns/dns_codec.h"

#include "lib/base/tlv.h"

#include <stdio.h>

enum { FLAG_SECURE = 1 };

static const struct {
    enum dns_type type;
    const char *name;
} types[] = {
    { DNS_A, "A" },
    { DNS_NS, "NS" },
    { DNS_CNAME, "CNAME" },
    { DNS_PTR, "PTR" },
    { DNS_MX, "MX" },
    { DNS_TXT, "TXT" },
    { DNS_AAAA, "AAAA" },
};

const char *
dns_type_name(enum dns_type type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].type == type)
            return types[i].name;
    return "unknown";
}

bool
dns_type_known(uint64_t type)
{
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if (types[i].type == type)
            return true;
    return false;
}

bool
dns_address_of(struct slice octets, struct sock_addr *addr)
{
    struct sock_addr a = { 0 };

    if (octets.len == 4) {
        a.len = sizeof(a.u.in);
        a.u.in.sin_family = AF_INET;
        memcpy(&a.u.in.sin_addr, octets.ptr, 4);
    } else if (octets.len == 16) {
        a.len = sizeof(a.u.in6);
        a.u.in6.sin6_family = AF_INET6;
        memcpy(&a.u.in6.sin6_addr, octets.ptr, 16);
    } else {
        return false;
    }
    *addr = a;
    return true;
}

static struct slice
address_octets(const struct sock_addr *addr)
{
    if (addr->len != 0 && addr->u.any.sa_family == AF_INET)
        return (struct slice){ (const char *)&addr->u.in.sin_addr, 4 };
    if (addr->len != 0 && addr->u.any.sa_family == AF_INET6)
        return (struct slice){ (const char *)&addr->u.in6.sin6_addr, 16 };
    return (struct slice){ 0 };
}

static enum result
malformed(struct why *why, const char *what)
{
    return why_perm(why, "5.3.0", "malformed %s", what);
}

/* A name with a number: what DNS_ASK and HOST_ASK have in common. */
static enum result
ask_decode(struct slice in, uint32_t number_tag, struct slice *name,
    uint64_t *number, struct why *why)
{
    struct tlv t;

    *name = (struct slice){ 0 };
    *number = 0;
    while (tlv_next(&in, &t)) {
        if (t.tag == ATTR_NAME)
            *name = t.value;
        else if (t.tag == number_tag && !tlv_u64(t.value, UINT16_MAX, number))
            return malformed(why, "question");
    }
    if (in.len > 0 || name->len > DNS_NAME_MAX)
        return malformed(why, "question");
    return RESULT_OK;
}

void
dns_ask_encode(struct slice name, enum dns_type type, struct msg *m)
{
    msg_init(m, MESSAGE_DNS_ASK);
    tlv_put(&m->body, ATTR_NAME, name);
    tlv_put_u64(&m->body, ATTR_TYPE, type);
}

enum result
dns_ask_decode(struct slice in, struct slice *name, enum dns_type *type,
    struct why *why)
{
    uint64_t number;

    if (ask_decode(in, ATTR_TYPE, name, &number, why) != RESULT_OK)
        return RESULT_PERMFAIL;
    if (!dns_type_known(number))
        return malformed(why, "question: record type");
    *type = (enum dns_type)number;
    return RESULT_OK;
}

void
dns_host_ask_encode(struct slice host, unsigned families, struct msg *m)
{
    msg_init(m, MESSAGE_HOST_ASK);
    tlv_put(&m->body, ATTR_NAME, host);
    tlv_put_u64(&m->body, ATTR_FLAGS, families);
}

enum result
dns_host_ask_decode(struct slice in, struct slice *host, unsigned *families,
    struct why *why)
{
    uint64_t number;

    if (ask_decode(in, ATTR_FLAGS, host, &number, why) != RESULT_OK)
        return RESULT_PERMFAIL;
    *families = (unsigned)number & (DNS_WANT_INET | DNS_WANT_INET6);
    return RESULT_OK;
}

static void
record_encode(const struct dns_record *r, struct buf *scratch, struct buf *to)
{
    buf_clear(scratch);
    tlv_put_u64(scratch, ATTR_TYPE, r->type);
    tlv_put_u64(scratch, ATTR_TTL, r->ttl);
    if (r->type == DNS_MX)
        tlv_put_u64(scratch, ATTR_PREFERENCE, r->preference);
    if (r->type == DNS_A || r->type == DNS_AAAA)
        tlv_put(scratch, ATTR_DATA, address_octets(&r->addr));
    else
        tlv_put(scratch, ATTR_NAME, r->name);
    tlv_put(to, ATTR_RECORD, buf_slice(scratch));
}

void
dns_answer_encode(const struct dns_answer *answer, const struct why *why,
    struct msg *m)
{
    tlv_put_u64(&m->body, ATTR_RESULT, answer->status);
    if (answer->secure)
        tlv_put_u64(&m->body, ATTR_FLAGS, FLAG_SECURE);
    if (answer->canonical.len > 0)
        tlv_put(&m->body, ATTR_NAME, answer->canonical);
    if (answer->negative_ttl > 0)
        tlv_put_u64(&m->body, ATTR_TTL, answer->negative_ttl);
    if (answer->status == DNS_OK) {
        struct buf scratch;

        buf_init(&scratch, DNS_TEXT_MAX + 64);
        for (size_t i = 0; i < answer->count; i++)
            record_encode(&answer->records[i], &scratch, &m->body);
        buf_fini(&scratch);
    } else {
        tlv_put(&m->body, ATTR_STATUS, slice_of(why->status));
        tlv_put(&m->body, ATTR_TEXT, slice_of(why->text));
    }
}

static bool
record_decode(struct slice in, struct dns_record *r)
{
    uint64_t n;
    struct tlv t;
    struct slice data = { 0 };

    *r = (struct dns_record){ 0 };
    while (tlv_next(&in, &t)) {
        if (t.tag == ATTR_NAME) {
            r->name = t.value;
        } else if (t.tag == ATTR_DATA) {
            data = t.value;
        } else if (t.tag == ATTR_TYPE) {
            if (!tlv_u64(t.value, UINT16_MAX, &n) || !dns_type_known(n))
                return false;
            r->type = (enum dns_type)n;
        } else if (t.tag == ATTR_TTL) {
            if (!tlv_u64(t.value, UINT32_MAX, &n))
                return false;
            r->ttl = (uint32_t)n;
        } else if (t.tag == ATTR_PREFERENCE) {
            if (!tlv_u64(t.value, UINT16_MAX, &n))
                return false;
            r->preference = (uint16_t)n;
        }
    }
    if (in.len > 0 || r->type == 0)
        return false;
    if (r->type == DNS_A || r->type == DNS_AAAA)
        return data.len == (r->type == DNS_A ? 4 : 16) &&
            dns_address_of(data, &r->addr);
    return r->name.len <= (r->type == DNS_TXT ? DNS_TEXT_MAX : DNS_NAME_MAX);
}

static enum dns_status
answer_malformed(struct dns_answer *answer, struct why *why)
{
    *answer = (struct dns_answer){ .status = DNS_TRYAGAIN };
    why_temp(why, "4.3.0", "malformed answer from the resolver");
    return DNS_TRYAGAIN;
}

static void
why_from(struct why *why, struct slice status, struct slice text)
{
    *why = (struct why){ 0 };
    snprintf(why->status, sizeof(why->status), SLICE_FMT, SLICE_ARG(status));
    snprintf(why->text, sizeof(why->text), SLICE_FMT, SLICE_ARG(text));
}

enum dns_status
dns_answer_decode(struct slice in, struct arena *arena,
    struct dns_answer *answer, struct why *why)
{
    struct slice rest = in, status = { 0 }, text = { 0 };
    struct tlv t;
    uint64_t n;
    size_t room = 0;

    *answer = (struct dns_answer){ .status = DNS_TRYAGAIN };
    while (tlv_next(&rest, &t))
        room += t.tag == ATTR_RECORD;
    if (rest.len > 0 || room > DNS_RECORDS_MAX)
        return answer_malformed(answer, why);
    if (room > 0) {
        answer->records = arena_alloc(arena, room * sizeof(answer->records[0]));
        if (answer->records == NULL)
            return answer_malformed(answer, why);
    }
    while (tlv_next(&in, &t)) {
        if (t.tag == ATTR_RESULT) {
            if (!tlv_u64(t.value, DNS_INVALID, &n))
                return answer_malformed(answer, why);
            answer->status = (enum dns_status)n;
        } else if (t.tag == ATTR_FLAGS) {
            if (!tlv_u64(t.value, UINT16_MAX, &n))
                return answer_malformed(answer, why);
            answer->secure = (n & FLAG_SECURE) != 0;
        } else if (t.tag == ATTR_TTL) {
            if (!tlv_u64(t.value, UINT32_MAX, &n))
                return answer_malformed(answer, why);
            answer->negative_ttl = (uint32_t)n;
        } else if (t.tag == ATTR_NAME && t.value.len <= DNS_NAME_MAX) {
            answer->canonical = t.value;
        } else if (t.tag == ATTR_STATUS && t.value.len < sizeof(why->status)) {
            status = t.value;
        } else if (t.tag == ATTR_TEXT && t.value.len < sizeof(why->text)) {
            text = t.value;
        } else if (t.tag == ATTR_RECORD) {
            if (!record_decode(t.value, &answer->records[answer->count++]))
                return answer_malformed(answer, why);
        }
    }
    if (answer->status != DNS_OK)
        why_from(why, status, text);
    return answer->status;
}

void
dns_client_ask_encode(const struct sock_addr *addr, struct msg *m)
{
    msg_init(m, MESSAGE_CLIENT_ASK);
    tlv_put(&m->body, ATTR_DATA, address_octets(addr));
}

enum result
dns_client_ask_decode(struct slice in, struct sock_addr *addr, struct why *why)
{
    struct slice data = { 0 };
    struct tlv t;

    while (tlv_next(&in, &t))
        if (t.tag == ATTR_DATA)
            data = t.value;
    if (in.len > 0 || !dns_address_of(data, addr))
        return malformed(why, "question: address");
    return RESULT_OK;
}

void
dns_client_answer_encode(const struct client_name *name, struct msg *m)
{
    tlv_put(&m->body, ATTR_NAME, slice_of(name->name));
    tlv_put_u64(&m->body, ATTR_RESULT, name->status);
    tlv_put(&m->body, ATTR_TEXT, slice_of(name->reverse_name));
    tlv_put_u64(&m->body, ATTR_KIND, name->reverse_status);
}

static bool
client_text(struct slice value, char to[256])
{
    if (value.len == 0 || value.len > 255)
        return false;
    /* It will stand in headers and in the log. */
    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] <= ' ' || value.ptr[i] == 127)
            return false;
    memcpy(to, value.ptr, value.len);
    to[value.len] = '\0';
    return true;
}

static bool
client_status(struct slice value, enum client_name_status *status)
{
    uint64_t n;

    if (!tlv_u64(value, CLIENT_NAME_PERM, &n))
        return false;
    *status = (enum client_name_status)n;
    return true;
}

enum result
dns_client_answer_decode(struct slice in, struct client_name *name,
    struct why *why)
{
    struct client_name got = { 0 };
    struct tlv t;

    while (tlv_next(&in, &t)) {
        if ((t.tag == ATTR_NAME && !client_text(t.value, got.name)) ||
            (t.tag == ATTR_TEXT && !client_text(t.value, got.reverse_name)) ||
            (t.tag == ATTR_RESULT && !client_status(t.value, &got.status)) ||
            (t.tag == ATTR_KIND &&
                !client_status(t.value, &got.reverse_status)))
            return malformed(why, "client name");
    }
    if (in.len > 0 || got.name[0] == '\0' || got.reverse_name[0] == '\0')
        return malformed(why, "client name");
    *name = got;
    return RESULT_OK;
}
