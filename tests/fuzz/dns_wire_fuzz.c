#include "lib/dns/dns_codec.h"
#include "lookup/wire.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_record(const struct dns_record *r, enum dns_type type)
{
    assert(r->type == type);
    if (type == DNS_A || type == DNS_AAAA) {
        assert(r->addr.len > 0);
        return;
    }
    assert(r->name.len <= (type == DNS_TXT ? DNS_TEXT_MAX : DNS_NAME_MAX));
    /* Names are safe to print, ask and put into a table's key. */
    if (type != DNS_TXT && !(type == DNS_MX && r->name.len == 0))
        assert(wire_name_is_valid(r->name));
}

/* The first octet chooses the type asked for; the rest is a server's answer. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum dns_type types[] = { DNS_A, DNS_CNAME, DNS_PTR, DNS_MX,
        DNS_TXT, DNS_AAAA };
    unsigned char query[WIRE_QUERY_MAX];
    struct slice packet, asked;
    struct dns_answer answer;
    struct wire_info info;
    struct arena arena;
    enum dns_type type;

    if (size < 1)
        return 0;
    type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
    packet = (struct slice){ (const char *)data + 1, size - 1 };
    asked = (struct slice){ (const char *)query,
        wire_query(1, SLICE_LIT("a.test"), type, WIRE_EDNS, query) };
    assert(asked.len > 0);
    (void)wire_answers(packet, asked);
    (void)wire_answers(asked, packet);
    arena_init(&arena, 1 << 20);
    if (wire_answer(packet, SLICE_LIT("a.test"), type, &arena, &answer,
            &info) == DNS_OK) {
        assert(answer.count > 0 && answer.count <= DNS_RECORDS_MAX);
        for (size_t i = 0; i < answer.count; i++)
            check_record(&answer.records[i], type);
        assert(answer.canonical.len <= DNS_NAME_MAX);
    }
    arena_clear(&arena);
    return 0;
}
