#include "lib/mail/queue_control.h"

#include "lib/base/mem.h"
#include "lib/mail/pressure.h"

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

static void
check_destination(struct slice in)
{
    struct queue_destination d, again;
    struct msg m;

    if (!queue_destination_decode(in, &d))
        return;
    assert(d.next_try_ms >= 0 && d.next_due_ms >= 0 && d.rate_delay_ms >= 0);
    queue_destination_encode(&d, &m);
    assert(queue_destination_decode(buf_slice(&m.body), &again));
    assert(slice_eq(d.reason, again.reason) && d.deferred == again.deferred);
    msg_fini(&m);
}

/* A filter from outside meets a message, whatever both are. */
static void
check_filter(const struct queue_filter *f, struct slice in)
{
    struct queue_recipient r = { in, in };
    struct queue_item item = { .recipients = &r, .recipient_count = 1 };

    assert(f->before_us >= 0 && f->after_us >= 0);
    assert(f->sender.len <= QUEUE_FILTER_TEXT_MAX &&
        f->recipient.len <= QUEUE_FILTER_TEXT_MAX &&
        f->domain.len <= QUEUE_FILTER_TEXT_MAX &&
        f->reason.len <= QUEUE_FILTER_TEXT_MAX);
    item.sender = in;
    if (queue_filter_is_empty(f))
        assert(queue_filter_matches(f, &item));
    else
        (void)queue_filter_matches(f, &item);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = { (const char *)data, size };
    struct queue_request *r = mem_alloc(sizeof(*r));
    enum pressure level;
    struct queue_done done;

    if (pressure_decode(in, &level))
        assert(level <= PRESSURE_FULL);
    if (queue_request_decode(in, r)) {
        assert(r->id_count <= QUEUE_EDIT_IDS);
        assert((r->queues & ~(unsigned)QUEUE_ALL) == 0);
        assert(r->task <= QUEUE_TASK_EXPIRE_NOW);
        assert((r->flags & ~(uint32_t)(QUEUE_DRY_RUN | QUEUE_NAME_EACH)) == 0);
        check_filter(&r->filter, slice_head(in, 4096));
    }
    mem_free(r);
    if (queue_done_decode(in, &done))
        assert(done.result <= RESULT_PERMFAIL);
    check_item(in);
    check_destination(in);
    return 0;
}
