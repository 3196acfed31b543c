#include "smtpd/proxy_header.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/*
 * What was found lies inside; and what is judged does not depend on how much of
 * it has come: a prefix is the same, or asks for more.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct proxy_header h, less;
    const char *wrong;
    enum proxy_status all = proxy_header_parse(in, &h, &wrong);

    if (all == PROXY_FOUND || all == PROXY_LOCAL) {
        assert(h.length > 0 && h.length <= size);
        assert(h.length <= PROXY_HEADER_V2_MAX);
    }
    if (all == PROXY_FOUND)
        assert(h.client.len > 0 && h.server.len > 0);
    if (all == PROXY_MORE)
        assert(size < PROXY_HEADER_V2_MAX);
    for (size_t n = 0; n < size && n < 200; n++) {
        enum proxy_status part = proxy_header_parse(slice_head(in, n), &less,
            &wrong);

        assert(part == PROXY_MORE || part == all);
    }
    return 0;
}
