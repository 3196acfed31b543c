#include "smtp/nexthop.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(struct slice in, struct slice text, enum nexthop_protocol protocol)
{
    struct nexthop hop;
    struct why why;

    if (nexthop_parse(text, protocol, 25, &hop, &why) != RESULT_OK) {
        assert(why.text[0] != '\0');
        return;
    }
    assert(hop.host.len > 0 && hop.host.len <= NEXTHOP_HOST_MAX);
    assert(hop.host.ptr >= in.ptr);
    assert(hop.host.ptr + hop.host.len <= in.ptr + in.len);
    assert(hop.kind == NEXTHOP_UNIX || hop.port != 0);
    assert(hop.kind != NEXTHOP_UNIX || protocol == NEXTHOP_LMTP);
}

/* What is accepted lies inside the input, and is within its limits. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size }, rest = in, text;

    while (nexthop_next(&rest, &text)) {
        check(in, text, NEXTHOP_SMTP);
        check(in, text, NEXTHOP_LMTP);
    }
    return 0;
}
