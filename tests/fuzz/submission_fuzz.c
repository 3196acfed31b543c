#include "lib/mail/submission.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* qmgr reads this from processes that may have been taken over. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct submission s;
    struct arena arena;
    struct why why;

    arena_init(&arena, 1 << 22);
    if (submission_decode(in, size % 3, &arena, &s, &why) == RESULT_OK)
        assert(s.settle_only ? s.settles != NULL : s.envelope.id != 0);
    arena_clear(&arena);
    return 0;
}
