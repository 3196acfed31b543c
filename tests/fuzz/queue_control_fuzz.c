#include "lib/mail/queue_control.h"

#include "lib/base/mem.h"

#include <assert.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_item(struct slice in)
{
    struct queue_item item, again;
    struct arena arena;
    struct msg m;
    struct why why;

    arena_init(&arena, 64 << 20);
    if (queue_item_decode(in, &arena, &item, &why) == RESULT_OK) {
        assert(item.queue < QUEUE_NAMES);
        queue_item_encode(&item, &m);
        if (!buf_failed(&m.body)) {
            assert(queue_item_decode(buf_slice(&m.body), &arena, &again,
                       &why) == RESULT_OK);
            assert(again.id == item.id && again.size == item.size &&
                again.recipient_count == item.recipient_count);
        }
        msg_fini(&m);
    }
    arena_clear(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct queue_request *r = mem_alloc(sizeof(*r));
    struct queue_done done;

    if (queue_request_decode(in, r)) {
        assert(r->id_count <= QUEUE_EDIT_IDS);
        assert((r->queues & ~(unsigned)QUEUE_ALL) == 0);
        assert(r->task <= QUEUE_TASK_EXPIRE_RELEASE);
    }
    mem_free(r);
    if (queue_done_decode(in, &done))
        assert(done.result <= RESULT_PERMFAIL);
    check_item(in);
    return 0;
}
