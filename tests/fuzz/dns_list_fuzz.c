#include "lib/dns/dns_list.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = { (const char *)data, size };
    struct sock_addr addr;
    struct dns_list list;
    struct buf name;
    struct why why;

    if (dns_list_parse(text, &list, &why) == RESULT_OK) {
        assert(list.domain.len > 0 && list.domain.len <= size);
        assert(sock_addr_parse(SLICE_LIT("127.0.0.2"), 0, &addr));
        (void)dns_list_matches(&list, &addr);
    }
    buf_init(&name, 253);
    if (dns_list_name_of_address(text, SLICE_LIT("x.test"), &name))
        assert(name.len <= 253);
    buf_fini(&name);
    return 0;
}
