/* Whatever comes in, what comes out is printable, and stays as it is then. */
#include "lib/base/printable.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct buf once, twice;

    buf_init(&once, size);
    buf_init(&twice, size);
    printable_add(in, &once);
    assert(once.len == size && !buf_failed(&once));
    printable_add(buf_slice(&once), &twice);
    assert(slice_eq(buf_slice(&once), buf_slice(&twice)));
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)once.ptr[i];

        assert(c >= ' ' && c != 127);
        assert(c == data[i] || c == '?');
        if (data[i] >= ' ' && data[i] < 127)
            assert(c == data[i]);
    }
    buf_fini(&once);
    buf_fini(&twice);
    return 0;
}
