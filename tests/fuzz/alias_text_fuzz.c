#include "local/alias.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every step takes something off, and no address is longer than its limit. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = { (const char *)data, size };
    size_t before = rest.len;
    struct buf one;

    buf_init(&one, 2048);
    while (alias_next(&rest, &one)) {
        assert(rest.len < before);
        assert(one.len <= 2048);
        before = rest.len;
    }
    assert(rest.len == 0);
    buf_fini(&one);
    return 0;
}
