#include "lib/dns/dns_codec.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_answer(struct slice in)
{
    struct dns_answer answer;
    struct arena arena;
    struct why why;

    arena_init(&arena, 1 << 20);
    (void)!dns_answer_decode(in, &arena, &answer, &why);
    assert(answer.count <= DNS_RECORDS_MAX);
    for (size_t i = 0; i < answer.count; i++) {
        const struct dns_record *r = &answer.records[i];

        assert(dns_type_known(r->type));
        assert((r->type == DNS_A || r->type == DNS_AAAA) == (r->addr.len > 0));
        assert(r->name.len <= DNS_TEXT_MAX);
    }
    arena_clear(&arena);
}

/* Every message of lib/dns, as either end gets it from the other. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size }, name;
    struct client_name client;
    struct sock_addr addr;
    enum dns_type type;
    unsigned families;
    struct why why;

    if (dns_ask_decode(in, &name, &type, &why) == RESULT_OK)
        assert(name.len <= DNS_NAME_MAX && dns_type_known(type));
    if (dns_host_ask_decode(in, &name, &families, &why) == RESULT_OK)
        assert(name.len <= DNS_NAME_MAX && families <= 3);
    if (dns_client_ask_decode(in, &addr, &why) == RESULT_OK)
        assert(addr.len > 0);
    if (dns_client_answer_decode(in, &client, &why) == RESULT_OK)
        assert(memchr(client.name, '\0', sizeof(client.name)) != NULL);
    check_answer(in);
    return 0;
}
