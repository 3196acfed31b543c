/*
 * Bodies of messages between processes that have no target of their own: the
 * first octet says which.
 */
#include "lib/daemon/control.h"
#include "lib/mail/late.h"
#include "lib/mail/notice.h"
#include "lib/mail/queue_control.h"
#include "lib/mail/route.h"
#include "lib/mail/verification.h"
#include "lib/table/memo.h"
#include "local/mailbox.h"

#include <assert.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ARENA_MAX = 64 << 20 };

static void
assert_within(struct slice s, struct slice in, size_t max)
{
    assert(s.len <= max);
    assert(s.len == 0 || (s.ptr >= in.ptr && s.ptr + s.len <= in.ptr + in.len));
}

static void
assert_text(const char *text, size_t size)
{
    assert(memchr(text, '\0', size) != NULL);
}

static void
check_route(struct slice in)
{
    struct route_question q;
    struct route route;
    struct why why;

    if (route_ask_decode(in, &q, &why) == RESULT_OK) {
        assert_within(q.sender, in, SIZE_MAX);
        assert_within(q.recipient, in, SIZE_MAX);
        assert(q.use <= ROUTE_OF_PROBE);
    }
    if (route_decode(in, &route, &why) == RESULT_OK) {
        assert(route.transport[0] != '\0' && route.class <= CLASS_DEFAULT);
        assert_text(route.transport, sizeof(route.transport));
        assert_text(route.nexthop, sizeof(route.nexthop));
        assert_text(route.address, sizeof(route.address));
    }
}

static void
check_notice(struct msg_in *in)
{
    struct arena arena;
    struct notice n;
    struct why why;

    arena_init(&arena, ARENA_MAX);
    if (notice_decode(in, &arena, &n, &why) == RESULT_OK) {
        assert(n.recipient_count > 0 && n.envelope.id != 0 && n.fd == -1);
        assert_within(n.header, in->body, MESSAGE_ENVELOPE);
        assert_within(n.body, in->body, MESSAGE_ENVELOPE);
        for (size_t i = 0; i < n.recipient_count; i++) {
            const struct notice_recipient *r = &n.recipients[i];

            assert_within(r->rcpt.address, in->body, 4096);
            assert_within(r->result.text, in->body, 4096);
            assert_text(r->result.status, sizeof(r->result.status));
        }
    }
    arena_clear(&arena);
}

static void
check_queue(struct slice in)
{
    static struct queue_request request;
    struct queue_item item;
    struct queue_done done;
    struct arena arena;
    struct why why;

    if (queue_request_decode(in, &request)) {
        assert(request.id_count <= QUEUE_EDIT_IDS);
        assert((request.queues & ~(unsigned)QUEUE_ALL) == 0);
        assert_within(request.site, in, 4096);
    }
    if (queue_done_decode(in, &done))
        assert_text(done.why.text, sizeof(done.why.text));
    arena_init(&arena, ARENA_MAX);
    if (queue_item_decode(in, &arena, &item, &why) == RESULT_OK) {
        assert(item.queue < QUEUE_NAMES);
        assert_within(item.sender, in, 4096);
        for (size_t i = 0; i < item.recipient_count; i++)
            assert_within(item.recipients[i].reason, in, 4096);
    }
    arena_clear(&arena);
}

static void
check_store(struct msg_in *in)
{
    struct mailbox_store s;
    struct why why;

    if (mailbox_store_decode(in, &s, &why) == RESULT_OK) {
        assert_within(s.path, in->body, PATH_MAX - 1);
        assert(s.path.len > 0 && s.path.ptr[0] == '/');
        assert(memchr(s.path.ptr, '\0', s.path.len) == NULL);
    }
    why.text[0] = '\0';
    if (mailbox_stored_decode(in->body, &why) != RESULT_OK)
        assert_text(why.text, sizeof(why.text));
}

static void
check_late(struct slice in)
{
    struct arena arena;
    struct late l;
    struct why why;

    arena_init(&arena, ARENA_MAX);
    if (late_decode(in, &arena, &l, &why) == RESULT_OK) {
        size_t at = 0;

        assert(l.attempt.id != 0 && l.index_count > 0);
        assert(l.count <= l.index_count);
        for (size_t i = 1; i < l.index_count; i++)
            assert(l.indexes[i] > l.indexes[i - 1]);
        for (size_t i = 0; i < l.count; i++) {
            while (at < l.index_count && l.indexes[at] != l.results[i].index)
                at++;
            assert(at < l.index_count);
            at++;
            assert(l.results[i].outcome != 0);
            assert_within(l.results[i].text, in, 4096);
            assert_text(l.results[i].status, sizeof(l.results[i].status));
        }
    }
    arena_clear(&arena);
}

static void
check_control(struct msg_in *in)
{
    struct control_configure configure;
    struct control control;

    if (control_configure_decode(in, &configure))
        assert(configure.length <= CONTROL_SNAPSHOT_MAX);
    if (control_decode(in, &control)) {
        assert(control.role < ROLE_COUNT);
        assert(control.end <= PROCESS_REPLACED && control.code <= UINT8_MAX);
        assert_within(control.name, in->body, SIZE_MAX);
        assert_within(control.service, in->body, SIZE_MAX);
    }
}

static void
check_memo(struct slice in)
{
    struct memo memo;
    struct memo_answer answer;
    struct why why;

    if (memo_decode(in, &memo, &why) == RESULT_OK) {
        assert(memo.book < MEMO_BOOKS && memo.key.len > 0);
        assert_within(memo.key, in, MEMO_KEY_MAX);
        assert_within(memo.value, in, MEMO_VALUE_MAX);
    }
    if (memo_answer_decode(in, &answer))
        assert_within(answer.value, in, MEMO_VALUE_MAX);
}

static void
check_verification(struct slice in)
{
    struct verify_question q;
    struct verify_result r;

    if (verify_question_decode(in, &q)) {
        assert(q.address.len > 0);
        assert_within(q.address, in, VERIFY_ADDRESS_MAX);
    }
    if (verify_result_decode(in, &r)) {
        assert(r.address.len > 0 && r.verified <= VERIFIED_BOUNCED);
        assert_within(r.address, in, VERIFY_ADDRESS_MAX);
        assert_within(r.text, in, VERIFY_TEXT_MAX);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct msg_in in = { .number = 1 };

    if (size == 0)
        return 0;
    in.body = (struct slice){ (const char *)data + 1, size - 1 };
    switch (data[0] % 7) {
    case 0:
        check_route(in.body);
        break;
    case 1:
        check_notice(&in);
        break;
    case 2:
        check_queue(in.body);
        break;
    case 3:
        check_store(&in);
        break;
    case 4:
        check_control(&in);
        break;
    case 5:
        check_memo(in.body);
        check_verification(in.body);
        break;
    default:
        check_late(in.body);
        break;
    }
    return 0;
}
