#include "lib/mail/envelope.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is accepted lies inside the input, and encodes to what decodes again. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct envelope env, again;
    struct arena arena;
    struct buf out;
    struct why why;

    arena_init(&arena, 1 << 22);
    buf_init(&out, 1 << 24);
    if (envelope_decode(in, &arena, &env, &why) == RESULT_OK) {
        assert(env.sender.len == 0 ||
            (env.sender.ptr >= in.ptr &&
                env.sender.ptr + env.sender.len <= in.ptr + in.len));
        envelope_encode(&env, &out);
        assert(!buf_failed(&out));
        assert(envelope_decode(buf_slice(&out), &arena, &again, &why) ==
            RESULT_OK);
        assert(again.recipient_count == env.recipient_count);
        assert(slice_eq(again.sender, env.sender));
    }
    buf_fini(&out);
    arena_clear(&arena);
    return 0;
}
