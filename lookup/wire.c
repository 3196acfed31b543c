#include "lookup/wire.h"

#include "lib/dns/dns_codec.h"

#include <arpa/inet.h>

enum {
    HEADER = 12,
    CLASS_IN = 1,
    TYPE_SOA = 6,
    TYPE_OPT = 41,
    FLAG_QR = 0x8000,
    FLAG_TC = 0x0200,
    FLAG_RD = 0x0100,
    FLAG_AD = 0x0020,
    RCODE_MASK = 0x000f,
    RCODE_NXDOMAIN = 3,
    LABEL_MAX = 63,
    JUMPS_MAX = 32,
    ANSWERS_MAX = 1000, /* records of a message that are looked at */
    NEGATIVE_TTL = 60,  /* where the answer has no SOA to go by */
};

static uint16_t
get16(const unsigned char *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t
get32(const unsigned char *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void
put16(unsigned char *p, unsigned value)
{
    p[0] = (unsigned char)(value >> 8);
    p[1] = (unsigned char)value;
}

/* Octets of name as labels at to, its final zero included; 0: no name. */
static size_t
name_encode(struct slice name, unsigned char *to)
{
    size_t at = 0;

    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (name.len == 0 || name.len > DNS_NAME_MAX - 2)
        return 0;
    while (name.len > 0) {
        size_t n = slice_find(name, '.');

        if (n == 0 || n > LABEL_MAX || n == name.len - 1)
            return 0;
        to[at++] = (unsigned char)n;
        memcpy(to + at, name.ptr, n);
        at += n;
        name = slice_skip(name, n + 1);
    }
    to[at++] = 0;
    return at;
}

size_t
wire_query(uint16_t id, struct slice name, enum dns_type type, unsigned flags,
    unsigned char to[WIRE_QUERY_MAX])
{
    size_t at = HEADER, n;
    bool dnssec = (flags & WIRE_DNSSEC) != 0;

    memset(to, 0, HEADER);
    put16(to, id);
    put16(to + 2, FLAG_RD | (dnssec ? FLAG_AD : 0U));
    put16(to + 4, 1);
    n = name_encode(name, to + at);
    if (n == 0)
        return 0;
    at += n;
    put16(to + at, type);
    put16(to + at + 2, CLASS_IN);
    at += 4;
    if ((flags & (WIRE_EDNS | WIRE_DNSSEC)) != 0) {
        unsigned char *opt = to + at;

        memset(opt, 0, 11);
        put16(opt + 1, TYPE_OPT);
        put16(opt + 3, WIRE_UDP_MAX);
        opt[7] = dnssec ? 0x80 : 0;
        put16(to + 10, 1);
        at += 11;
    }
    return at;
}

struct reader {
    const unsigned char *base;
    size_t len, at;
};

/*
 * The name at r->at, as text without final dot; what is not printable becomes
 * '?', so that it cannot pass for another name. False on nonsense.
 */
static bool
read_name(struct reader *r, char *text, size_t *text_len)
{
    size_t at = r->at, end = 0, len = 0;
    unsigned jumps = 0;

    for (;;) {
        unsigned n;

        if (at >= r->len)
            return false;
        n = r->base[at];
        if ((n & 0xc0) == 0xc0) {
            if (at + 1 >= r->len || ++jumps > JUMPS_MAX)
                return false;
            if (end == 0)
                end = at + 2;
            at = get16(r->base + at) & 0x3fffU;
            continue;
        }
        if (n > LABEL_MAX)
            return false;
        at++;
        if (n == 0)
            break;
        if (at + n > r->len || len + n + 1 > DNS_NAME_MAX)
            return false;
        if (len > 0)
            text[len++] = '.';
        for (unsigned i = 0; i < n; i++) {
            unsigned char c = r->base[at + i];

            text[len++] = c > ' ' && c < 127 && c != '.' ? (char)c : '?';
        }
        at += n;
    }
    r->at = end != 0 ? end : at;
    *text_len = len;
    return true;
}

bool
wire_name_is_valid(struct slice name)
{
    bool digits = true;

    if (name.len == 0 || name.len > DNS_NAME_MAX)
        return false;
    while (name.len > 0) {
        size_t n = slice_find(name, '.');

        if (n == 0 || n > LABEL_MAX || n == name.len - 1)
            return false;
        if (name.ptr[0] == '-' || name.ptr[n - 1] == '-')
            return false;
        digits = true;
        for (size_t i = 0; i < n; i++) {
            char c = name.ptr[i];
            bool digit = c >= '0' && c <= '9';

            if (!digit && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') &&
                c != '-' && c != '_' && c != '/')
                return false;
            digits = digits && digit;
        }
        name = slice_skip(name, n + 1);
    }
    return !digits;
}

struct record {
    unsigned type, class;
    uint32_t ttl;
    char owner[DNS_NAME_MAX + 1];
    size_t owner_len;
    size_t data, data_len; /* offset of RDATA, and its length */
};

static bool
read_record(struct reader *r, struct record *rec)
{
    if (!read_name(r, rec->owner, &rec->owner_len) || r->len - r->at < 10)
        return false;
    rec->type = get16(r->base + r->at);
    rec->class = get16(r->base + r->at + 2);
    rec->ttl = get32(r->base + r->at + 4);
    if (rec->ttl > INT32_MAX) /* RFC 2181 section 8 */
        rec->ttl = 0;
    rec->data_len = get16(r->base + r->at + 8);
    rec->data = r->at + 10;
    if (r->len - rec->data < rec->data_len)
        return false;
    r->at = rec->data + rec->data_len;
    return true;
}

/* The strings of a TXT record, one after the other. */
static bool
text_of(const struct reader *r, const struct record *rec, struct arena *arena,
    struct slice *text)
{
    size_t at = rec->data, end = rec->data + rec->data_len, len = 0;
    char *to = arena_alloc(arena, rec->data_len + 1);

    if (to == NULL)
        return false;
    while (at < end) {
        size_t n = r->base[at++];

        if (n > end - at || len + n > DNS_TEXT_MAX)
            return false;
        memcpy(to + len, r->base + at, n);
        at += n;
        len += n;
    }
    *text = (struct slice){ to, len };
    return true;
}

enum take { TAKE_OK, TAKE_INVALID, TAKE_NO_ROOM };

/* The RDATA of a record whose type was asked for. */
static enum take
take_data(const struct reader *msg, const struct record *rec,
    enum dns_type type, struct arena *arena, struct dns_record *out)
{
    struct reader r = { msg->base, rec->data + rec->data_len, rec->data };
    char name[DNS_NAME_MAX + 1];
    size_t len;

    *out = (struct dns_record){ .type = type, .ttl = rec->ttl };
    if (type == DNS_A || type == DNS_AAAA) {
        struct slice octets = { (const char *)msg->base + rec->data,
            rec->data_len };

        if (octets.len != (type == DNS_A ? 4 : 16) ||
            !dns_address_of(octets, &out->addr))
            return TAKE_INVALID;
        return TAKE_OK;
    }
    if (type == DNS_TXT)
        return text_of(msg, rec, arena, &out->name) ? TAKE_OK : TAKE_INVALID;
    if (type == DNS_MX) {
        if (rec->data_len < 3)
            return TAKE_INVALID;
        out->preference = get16(msg->base + rec->data);
        r.at += 2;
    }
    if (!read_name(&r, name, &len))
        return TAKE_INVALID;
    if (type == DNS_MX && len == 0)
        return TAKE_OK; /* "." of RFC 7505 */
    if (!wire_name_is_valid((struct slice){ name, len }))
        return TAKE_INVALID;
    if (!arena_slice(arena, (struct slice){ name, len }, &out->name))
        return TAKE_NO_ROOM;
    return TAKE_OK;
}

/* The SOA of a negative answer says how long that holds: RFC 2308 section 5. */
static bool
negative_ttl(struct reader *r, unsigned count, uint32_t *ttl)
{
    struct record rec;
    char name[DNS_NAME_MAX + 1];
    size_t len;

    for (unsigned i = 0; i < count && i < ANSWERS_MAX; i++) {
        struct reader soa;
        uint32_t minimum;

        if (!read_record(r, &rec))
            break;
        if (rec.type != TYPE_SOA)
            continue;
        soa = (struct reader){ r->base, rec.data + rec.data_len, rec.data };
        /* NOLINTNEXTLINE(misc-redundant-expression): one, and the next */
        if (!read_name(&soa, name, &len) || !read_name(&soa, name, &len) ||
            soa.len - soa.at < 20)
            break;
        minimum = get32(soa.base + soa.at + 16);
        *ttl = minimum < rec.ttl ? minimum : rec.ttl;
        return true;
    }
    *ttl = NEGATIVE_TTL;
    return false;
}

bool
wire_answers(struct slice packet, struct slice query)
{
    const unsigned char *p = (const unsigned char *)packet.ptr;
    const unsigned char *q = (const unsigned char *)query.ptr;
    struct reader a = { p, packet.len, HEADER }, b = { q, query.len, HEADER };
    char asked[DNS_NAME_MAX + 1], got[DNS_NAME_MAX + 1];
    size_t asked_len, got_len;

    if (packet.len < HEADER || query.len < HEADER || get16(p) != get16(q) ||
        (get16(p + 2) & FLAG_QR) == 0)
        return false;
    /* Some servers answer FORMERR and the like without the question. */
    if (get16(p + 4) == 0)
        return (get16(p + 2) & RCODE_MASK) != 0;
    if (get16(p + 4) != 1 || !read_name(&a, got, &got_len) ||
        !read_name(&b, asked, &asked_len) || a.len - a.at < 4 ||
        b.len - b.at < 4)
        return false;
    return slice_eq_nocase((struct slice){ got, got_len },
               (struct slice){ asked, asked_len }) &&
        memcmp(p + a.at, q + b.at, 4) == 0;
}

static bool
skip_questions(struct reader *r, unsigned count)
{
    char name[DNS_NAME_MAX + 1];
    size_t len;

    for (unsigned i = 0; i < count; i++) {
        if (i >= 4 || !read_name(r, name, &len) || r->len - r->at < 4)
            return false;
        r->at += 4;
    }
    return true;
}

/* What is being gathered from the answer section. */
struct gather {
    struct slice want; /* owner: the name asked, or where CNAMEs led */
    char owner[DNS_NAME_MAX + 1];
    enum dns_type type;
    unsigned seen, invalid, cnames;
    size_t octets;
};

static bool
follow_cname(struct gather *g, const struct reader *msg,
    const struct record *rec)
{
    struct reader r = { msg->base, rec->data + rec->data_len, rec->data };
    char target[DNS_NAME_MAX + 1];
    size_t len;

    if (++g->cnames > WIRE_CNAMES_MAX || !read_name(&r, target, &len) ||
        !wire_name_is_valid((struct slice){ target, len }))
        return false;
    memcpy(g->owner, target, len);
    g->want = (struct slice){ g->owner, len };
    return true;
}

/*
 * One record of the answer section. CNAMEs come before what they lead to in
 * every answer that a resolver makes (RFC 1034 section 4.3.2), so one pass is
 * enough.
 */
static bool
gather_record(struct gather *g, const struct reader *msg,
    const struct record *rec, struct arena *arena, struct dns_answer *answer)
{
    struct slice owner = { rec->owner, rec->owner_len };

    if (rec->class != CLASS_IN || !slice_eq_nocase(owner, g->want))
        return true;
    if (rec->type == DNS_CNAME && g->type != DNS_CNAME)
        return follow_cname(g, msg, rec);
    if (rec->type != (unsigned)g->type)
        return true;
    g->seen++;
    if (answer->count == DNS_RECORDS_MAX)
        return true;
    switch (
        take_data(msg, rec, g->type, arena, &answer->records[answer->count])) {
    case TAKE_OK:
        g->octets += answer->records[answer->count].name.len;
        if (g->octets > DNS_OCTETS_MAX)
            return true;
        answer->count++;
        return true;
    case TAKE_INVALID:
        g->invalid++;
        return true;
    case TAKE_NO_ROOM:
        break;
    }
    return false;
}

static enum dns_status
gather_answers(struct reader *r, unsigned count, struct gather *g,
    struct arena *arena, struct dns_answer *answer, struct wire_info *info)
{
    struct record rec;
    unsigned room = count < DNS_RECORDS_MAX ? count : DNS_RECORDS_MAX;

    answer->records = arena_alloc(arena,
        (room + 1) * sizeof(answer->records[0]));
    if (answer->records == NULL)
        return DNS_TRYAGAIN;
    info->ttl = UINT32_MAX;
    for (unsigned i = 0; i < count; i++) {
        if (i >= ANSWERS_MAX || !read_record(r, &rec))
            return DNS_INVALID;
        if (!gather_record(g, r, &rec, arena, answer))
            return DNS_INVALID;
        if (rec.ttl < info->ttl)
            info->ttl = rec.ttl;
    }
    return DNS_OK;
}

enum dns_status
wire_answer(struct slice packet, struct slice name, enum dns_type type,
    struct arena *arena, struct dns_answer *answer, struct wire_info *info)
{
    const unsigned char *p = (const unsigned char *)packet.ptr;
    struct reader r = { p, packet.len, HEADER };
    struct gather g = { .type = type };
    enum dns_status status;

    *answer = (struct dns_answer){ .status = DNS_INVALID };
    *info = (struct wire_info){ 0 };
    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    g.want = name;
    if (packet.len < HEADER || (get16(p + 2) & FLAG_QR) == 0)
        return DNS_INVALID;
    info->rcode = get16(p + 2) & RCODE_MASK;
    info->truncated = (get16(p + 2) & FLAG_TC) != 0;
    info->authentic = (get16(p + 2) & FLAG_AD) != 0;
    if (info->rcode != 0 && info->rcode != RCODE_NXDOMAIN)
        return answer->status = DNS_TRYAGAIN;
    if (!skip_questions(&r, get16(p + 4)))
        return DNS_INVALID;
    status = gather_answers(&r, get16(p + 6), &g, arena, answer, info);
    if (status != DNS_OK)
        return answer->status = status;
    if (g.cnames > 0 && !arena_slice(arena, g.want, &answer->canonical))
        return answer->status = DNS_TRYAGAIN;
    if (answer->count > 0) {
        info->null_mx = type == DNS_MX && answer->count == 1 &&
            answer->records[0].name.len == 0;
        return answer->status = DNS_OK;
    }
    if (g.invalid > 0)
        return DNS_INVALID;
    if (negative_ttl(&r, get16(p + 8), &info->ttl))
        answer->negative_ttl = info->ttl;
    else if (info->rcode == 0 && g.cnames > 0)
        info->alias = answer->canonical;
    answer->status = info->rcode != 0 ? DNS_NXDOMAIN : DNS_NODATA;
    return answer->status;
}
