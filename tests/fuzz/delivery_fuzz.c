#include "lib/mail/delivery.h"

#include "lib/mail/notice.h"
#include "lib/mail/route.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first octet chooses which of the agents' messages is decoded. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct msg_in in = { 0 };
    struct delivery_answer answer;
    struct delivery delivery;
    struct notice notice;
    struct route route;
    struct arena arena;
    struct why why;

    if (size == 0)
        return 0;
    in.body = (struct slice){ (const char *)data + 1, size - 1 };
    arena_init(&arena, 1 << 22);
    switch (data[0] % 4) {
    case 0:
        if (delivery_decode(&in, &arena, &delivery, &why) == RESULT_OK)
            assert(delivery.recipient_count > 0);
        break;
    case 1:
        if (delivery_answer_decode(in.body, &arena, &answer, &why) == RESULT_OK)
            assert(answer.attempt.id != 0);
        break;
    case 2:
        if (notice_decode(&in, &arena, &notice, &why) == RESULT_OK)
            assert(notice.recipient_count > 0);
        break;
    default:
        if (route_decode(in.body, &route, &why) == RESULT_OK)
            assert(route.transport[0] != '\0');
        break;
    }
    arena_clear(&arena);
    return 0;
}
